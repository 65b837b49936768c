NEEDS.pipecd-gitwatch-checkout := libgit libconf libseal libtmpl libsandbox
