NEEDS.libhook := libhash libbase -ljansson
