NEEDS.libsuper := libconf libhash
