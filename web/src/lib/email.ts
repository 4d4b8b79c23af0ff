// The addresses that the gateway accepts, with spaces around them that are removed.
export const EMAIL = /^\s*[!-?A-~]+@[!-?A-~]+\s*$/;
