use super::Engine;
use super::view::ImageView;
use crate::error::{Result, fail};
use std::path::Path;
impl Engine {
    pub fn images(&self) -> Result<Vec<ImageView>> {
        Ok(vec![])
    }
    pub fn tag(&self, _source: &str, _target: &str) -> Result<()> {
        fail!("x")
    }
    pub fn remove_image(&self, _name: &str, _force: bool) -> Result<Vec<String>> {
        fail!("x")
    }
    pub fn import(
        &self,
        _file: Option<&Path>,
        _reference: Option<&str>,
        _changes: &[String],
        _message: Option<&str>,
    ) -> Result<String> {
        fail!("x")
    }
    pub fn load(&self, _file: Option<&Path>) -> Result<Vec<String>> {
        fail!("x")
    }
}
