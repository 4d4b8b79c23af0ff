// The names that the gateway accepts for new users.
export const USERNAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
