NEEDS.libbase :=
