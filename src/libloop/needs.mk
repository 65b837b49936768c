NEEDS.libloop := libbase
