NEEDS.libsandbox := libbase -lseccomp
