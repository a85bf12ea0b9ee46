//! Chooses from an index (OCI image spec, image-index.md) the image whose platform fits best, as
//! containerd does.
//!
//! Entries whose platform the index gives are tried before the others. If the index gives no
//! platform for an entry, the entry is read: a nested index for its entries, an image for its
//! config. Artifacts (signatures, attestations) are skipped; the index or their own manifest marks
//! them. The depth of nested indexes and the number of entries that are read are bounded.

use super::config::platform_of;
use super::manifest::{Descriptor, Document, Manifest, Offer};
use super::platform::{Platform, Wanted};
use crate::error::{Error, Result};
use crate::order;

/// The deepest nesting of indexes.
pub const MAX_DEPTH: usize = 4;
/// The most manifests that are read to choose one image.
const MAX_LOOKS: usize = 100;

/// A source of manifests and configs: an archive or a registry.
pub trait Documents {
    type Error: From<Error>;

    /// Reads a manifest. Returns its media type and its bytes, which must match the descriptor.
    fn manifest(&mut self, blob: &Descriptor) -> Result<(String, Vec<u8>), Self::Error>;

    fn config(&mut self, blob: &Descriptor) -> Result<Vec<u8>, Self::Error>;
}

/// An image that was chosen from an index.
pub struct Chosen {
    pub manifest: Manifest,
    /// The bytes of the manifest, unchanged.
    pub bytes: Vec<u8>,
    /// How well the image's platform fits: 0 is best.
    rank: u32,
}

/// A choice among the entries of one or more indexes.
pub struct Choice<'a, D> {
    documents: &'a mut D,
    wanted: &'a Wanted,
    looks: usize,
    /// The platforms of images that don't fit, for the error.
    others: Vec<String>,
}

impl<'a, D: Documents> Choice<'a, D> {
    /// Returns a choice among the documents that `documents` can read.
    pub fn new(documents: &'a mut D, wanted: &'a Wanted) -> Choice<'a, D> {
        Choice { documents, wanted, looks: 0, others: Vec::new() }
    }

    /// Returns the image that fits best, or `None` if none fits. Fails for example if indexes are
    /// nested more than `depth` levels deep, or if the choice needs more than `MAX_LOOKS`
    /// manifests.
    pub fn of(&mut self, offers: &[Offer], depth: usize) -> Result<Option<Chosen>, D::Error> {
        if depth == 0 {
            return Err(Error::new("too many nested indexes").into());
        }
        let images = || offers.iter().filter(|offer| !offer.is_artifact);
        let mut stated: Vec<(u32, &Offer)> = Vec::new();
        for offer in images() {
            let Some(platform) = &offer.platform else { continue };
            match self.wanted.rank(platform) {
                Some(rank) => stated.push((rank, offer)),
                None => self.note_other(platform),
            }
        }
        // The sort is stable, so the first of equal entries wins.
        order::sort_by_key(&mut stated, |(rank, _)| *rank);
        for (rank, offer) in stated {
            if let Some(chosen) = self.look(offer, Some(rank), depth)? {
                return Ok(Some(chosen));
            }
        }
        let mut best: Option<Chosen> = None;
        for offer in images().filter(|offer| offer.platform.is_none()) {
            if let Some(chosen) = self.look(offer, None, depth)?
                && best.as_ref().is_none_or(|best| chosen.rank < best.rank)
            {
                best = Some(chosen);
            }
        }
        Ok(best)
    }

    /// Returns the image of a single entry, whatever its platform is. If the entry is an index,
    /// returns the best image of that index. Returns `None` for an artifact, or if no image of an
    /// index fits.
    pub fn only(&mut self, offer: &Offer) -> Result<Option<Chosen>, D::Error> {
        if offer.is_artifact { Ok(None) } else { self.look(offer, Some(0), MAX_DEPTH + 1) }
    }

    /// Returns at most 20 platforms of images that do not fit, for an error. Empty if no image was
    /// refused for its platform.
    pub fn others(&self) -> String {
        self.others.join(", ")
    }

    fn note_other(&mut self, platform: &Platform) {
        const MOST: usize = 20;
        let platform = platform.to_string();
        if self.others.len() < MOST && !self.others.contains(&platform) {
            self.others.push(platform);
        }
    }

    /// Returns the image that an entry leads to, if the image fits. `rank` is the rank of the
    /// entry's platform. If `rank` is `None`, the config of the image gives the platform.
    fn look(
        &mut self,
        offer: &Offer,
        rank: Option<u32>,
        depth: usize,
    ) -> Result<Option<Chosen>, D::Error> {
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            return Err(Error::new(format!(
                "none of the first {MAX_LOOKS} manifests of the index fits this platform; name the \
                 image's own manifest by its digest, or choose another platform with --platform"
            ))
            .into());
        }
        let blob = &offer.descriptor;
        let (media_type, bytes) = self.documents.manifest(blob)?;
        let name = format!("manifest {}", blob.digest.short());
        let manifest = match Document::parse(&name, &media_type, &bytes)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(offers) => return self.of(&offers, depth - 1),
            Document::Artifact(_) => return Ok(None),
        };
        let rank = match rank {
            Some(rank) => Some(rank),
            None => {
                let config = self.documents.config(&manifest.config)?;
                let platform = platform_of(&name, &config)?;
                let rank = self.wanted.rank_of_config(&platform);
                if rank.is_none() {
                    self.note_other(&platform);
                }
                rank
            }
        };
        Ok(rank.map(|rank| Chosen { manifest, bytes, rank }))
    }
}
