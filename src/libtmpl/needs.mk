NEEDS.libtmpl := libhash libbase
