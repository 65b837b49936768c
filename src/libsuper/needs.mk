NEEDS.libsuper := libconf -lseccomp
