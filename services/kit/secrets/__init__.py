"""Secrets at rest: values that the database stores only encrypted.

Every value is encrypted with a data key (AES-GCM). Data keys are stored in the database, wrapped by a
master key (AES key wrap, RFC 3394), which is only in the settings. The associated data of a value are
its table, column and row, so a value that is copied to another place cannot be decrypted there.
"""
