NEEDS.libgit := libmatch libbase -lgit2
