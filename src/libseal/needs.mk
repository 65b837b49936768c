NEEDS.libseal := libbase -lcrypto
