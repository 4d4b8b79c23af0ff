-- Copy the existing commands to runs.
SELECT copy_command(commands) FROM commands;
