//! The log: to standard error, for people or as JSON. Tokens, PINs and keys never go in.

use tracing::level_filters::LevelFilter;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Begins to log. A second call changes nothing.
pub(crate) fn begin(config: LogConfig) {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    // An error means that somebody set a subscriber before; theirs stays.
    let _ = match config.format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(colours).finish().try_init_global()
        }
        LogFormat::Json => builder.json().finish().try_init_global(),
    };
}

trait TryInitGlobal {
    fn try_init_global(self) -> Result<(), tracing::subscriber::SetGlobalDefaultError>;
}

impl<S: tracing::Subscriber + Send + Sync + 'static> TryInitGlobal for S {
    fn try_init_global(self) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
        tracing::subscriber::set_global_default(self)
    }
}
