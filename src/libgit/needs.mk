NEEDS.libgit := libbase -lgit2
