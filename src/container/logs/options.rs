//! The options of a container's log: `--log-driver` and `--log-opt`. The options of `run` and the
//! record share the struct `LogOptions`. The monitor opens the log with these options, and
//! `inspect` shows the driver and the values as given. `cli` parses the values.

use crate::store::stored_flat;

stored_flat! {
    /// The values of `--log-driver` and `--log-opt`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct LogOptions {
        /// Whether there is no log (`--log-driver none`).
        pub disabled: bool as "log_disabled",
        /// The driver as given: `json-file`, `local` (the same), `syslog`, `journald` or `none`;
        /// `None` means `json-file`. With `syslog` and `journald` the lines are sent to that daemon
        /// too.
        pub driver: Option<String> as "log_driver",
        /// The size at which a log file is rotated, in bytes.
        pub max_size: u64 as "log_max_size",
        /// The largest number of files, including the one in use.
        pub max_file: u32 as "log_max_file",
        /// The values of `--log-opt` as given: pairs of a name and a value.
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
        // Without `--log-driver`, the record has no driver.
        if self.disabled { "none" } else { self.driver.as_deref().unwrap_or("json-file") }
    }
}
