# make frames: the list of kinds in share/doc/frames.md, from the descriptors.
frames: $(O)/tests/libmsg/frames
	@f=share/doc/frames.md; { sed '/^<!-- kinds -->/q' $$f; $< manual; \
	    sed -n '/^<!-- end -->/,$$p' $$f; } >$$f.tmp && mv $$f.tmp $$f
.PHONY: frames
