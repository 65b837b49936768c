NEEDS.libhash := libbase -lmd
