NEEDS.libplatform := libconf
