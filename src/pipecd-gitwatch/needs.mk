NEEDS.pipecd-gitwatch := libgit libbus libconf libsandbox
