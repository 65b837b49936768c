NEEDS.libtext := libbase
