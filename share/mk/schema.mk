# make schema: a JSON Schema for every kind of configuration file, and the
# manual pages of these files, from the rows in src/libconf/*.def.
kinds	:= Piped Application KubernetesApp TerraformApp CloudRunApp LambdaApp \
	   ECSApp AnalysisTemplate EventWatcher ControlPlane
pages	:= piped.yaml app.pipecd.yaml control-plane.yaml
$(O)/confdoc: share/mk/confdoc.c $(patsubst %,$(O)/%.a,libconf $(call ourlibs,libconf))
	@mkdir -p $(@D)
	$(call quiet,LD)$(CC) $(CFLAGS) $(flags) $(ldflags) $(LDFLAGS) $(call incs,libconf,libconf) -o $@ $< \
	    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call extlibs,libconf)
schemas	:= $(kinds:%=build/schema/%.json)
$(schemas): build/schema/%.json: $(O)/confdoc
	@mkdir -p $(@D)
	@$< schema $* >$@.tmp && mv $@.tmp $@
schema: $(schemas)
formats	:= $(pages:%=build/man/man5/%.5)
$(formats): build/man/man5/%.5: $(O)/confdoc
	@mkdir -p $(@D)
	@$< man $* | sed '1s/""/$(mandate)/' >$@.tmp && mv $@.tmp $@
man: $(formats)
.PHONY: schema
