NEEDS.piped := libsuper
