//! What is kept of a container's output: `--log-driver` and `--log-opt`. The options of `run` and
//! the record hold the same struct; the monitor opens the log by it, `inspect` shows it. Values are
//! parsed in `cli::value::limit`.

use crate::store::stored_flat;

stored_flat! {
    /// `--log-driver`, `--log-opt`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct LogOptions {
        /// `--log-driver none`: no log is written.
        pub disabled: bool as "log_disabled",
        /// As given: `json-file`, `local` (the same), `syslog` or `journald` (lines go there too) or
        /// `none`; `None` is `json-file`.
        pub driver: Option<String> as "log_driver",
        /// The size in bytes at which a log file is rotated.
        pub max_size: u64 as "log_max_size",
        /// The number of files, including the one in use.
        pub max_file: u32 as "log_max_file",
        /// The values of `--log-opt` as given, for `inspect`.
        pub given: Vec<(String, String)> as "log_options" => optional,
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        let (driver, given) = (None, Vec::new());
        LogOptions { disabled: false, driver, max_size: 10_000_000, max_file: 3, given }
    }
}

impl LogOptions {
    /// The driver's name, as Docker shows it.
    pub fn driver(&self) -> &str {
        // Records of the first release have no driver.
        if self.disabled { "none" } else { self.driver.as_deref().unwrap_or("json-file") }
    }
}
