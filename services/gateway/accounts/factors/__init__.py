"""Second factors of accounts: codes of an authenticator app (TOTP), and recovery codes."""
