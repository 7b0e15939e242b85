"""System checks: settings that cannot be right stop the start with one clear line each. No I/O."""
