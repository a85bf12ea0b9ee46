pub const NAME: &str = "hello";
pub fn make(_: &crate::image::ImageStore) -> crate::error::Result<()> {
    Ok(())
}
