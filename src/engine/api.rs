//! Signatures that the command line is written against; the engine itself takes their place.
#![allow(clippy::todo, unused_variables)]

use std::io::Write;
use std::path::Path;

use super::options::{AttachOptions, CreateOptions, ExecOptions, Filter, InspectKind, LogsOptions};
use super::view::{ContainerView, ImageView, VolumeView};
use crate::error::Result;
use crate::store::Roots;

pub struct Engine {
    roots: Roots,
}

impl Engine {
    pub fn new(roots: Roots) -> Engine {
        Engine { roots }
    }
    pub fn create(&self, options: &CreateOptions) -> Result<String> {
        todo!()
    }
    pub fn run_attached(&self, options: &CreateOptions, attach: &AttachOptions) -> Result<u8> {
        todo!()
    }
    pub fn run_detached(&self, options: &CreateOptions) -> Result<String> {
        todo!()
    }
    pub fn start(&self, name: &str) -> Result<()> {
        todo!()
    }
    pub fn start_attached(&self, name: &str, attach: &AttachOptions) -> Result<u8> {
        todo!()
    }
    pub fn attach(&self, name: &str, attach: &AttachOptions) -> Result<u8> {
        todo!()
    }
    pub fn stop(&self, name: &str, timeout: Option<i64>, signal: Option<&str>) -> Result<()> {
        todo!()
    }
    pub fn restart(&self, name: &str, timeout: Option<i64>) -> Result<()> {
        todo!()
    }
    pub fn kill(&self, name: &str, signal: &str) -> Result<()> {
        todo!()
    }
    pub fn remove(&self, name: &str, force: bool, volumes: bool) -> Result<()> {
        todo!()
    }
    pub fn wait(&self, name: &str) -> Result<u8> {
        todo!()
    }
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        todo!()
    }
    pub fn exec(&self, options: &ExecOptions) -> Result<u8> {
        todo!()
    }
    pub fn logs(
        &self,
        name: &str,
        options: &LogsOptions,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<()> {
        todo!()
    }
    pub fn containers(&self, all: bool, filters: &[Filter]) -> Result<Vec<ContainerView>> {
        todo!()
    }
    pub fn inspect(&self, name: &str, kind: Option<InspectKind>) -> Result<String> {
        todo!()
    }
    pub fn images(&self) -> Result<Vec<ImageView>> {
        todo!()
    }
    pub fn tag(&self, source: &str, target: &str) -> Result<()> {
        todo!()
    }
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<String>> {
        todo!()
    }
    pub fn import(
        &self,
        file: Option<&Path>,
        reference: Option<&str>,
        changes: &[String],
        message: Option<&str>,
    ) -> Result<String> {
        todo!()
    }
    pub fn load(&self, file: Option<&Path>) -> Result<Vec<String>> {
        todo!()
    }
    pub fn volume_create(&self, name: Option<&str>, labels: &[(String, String)]) -> Result<String> {
        todo!()
    }
    pub fn volumes(&self) -> Result<Vec<VolumeView>> {
        todo!()
    }
    pub fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        todo!()
    }
    pub fn volume_prune(&self, all: bool) -> Result<Vec<String>> {
        todo!()
    }
    pub fn info(&self) -> Result<Vec<(String, String)>> {
        todo!()
    }
}
