NEEDS.libmatch := libbase
