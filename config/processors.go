// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/beats/v7/libbeat/conditions"
	"github.com/elastic/beats/v7/libbeat/processors"
	"github.com/elastic/beats/v7/libbeat/processors/add_host_metadata"
	"github.com/elastic/beats/v7/libbeat/processors/add_observer_metadata"
	conf "github.com/elastic/elastic-agent-libs/config"
	"github.com/elastic/elastic-agent-libs/logp"
	"github.com/elastic/elastic-agent-libs/mapstr"
	"github.com/elastic/elastic-agent-libs/transport/tlscommon"

	"github.com/reconbeat/reconbeat/config/settings"
)

// The settings of each of libbeat's processors, in the order of their names. What is `any` is free, or a type that
// libbeat keeps for itself.
type (
	ofFields struct {
		Fields        []string `config:"fields"`
		IgnoreMissing bool     `config:"ignore_missing"`
		FailOnError   bool     `config:"fail_on_error"`
	}
	fromTo struct {
		From string `config:"from"`
		To   string `config:"to"`
	}
	fromToFields struct {
		Fields        []fromTo `config:"fields"`
		IgnoreMissing bool     `config:"ignore_missing"`
		FailOnError   bool     `config:"fail_on_error"`
	}
	fromToField struct {
		Field         fromTo `config:"field"`
		IgnoreMissing bool   `config:"ignore_missing"`
		FailOnError   bool   `config:"fail_on_error"`
	}
	alteredFields struct {
		Common         ofFields `config:",inline"`
		AlterFullField bool     `config:"alter_full_field"`
		Values         []string `config:"values"`
	}
	decodedXML struct {
		Field         string `config:"field"`
		TargetField   string `config:"target_field"`
		OverwriteKeys bool   `config:"overwrite_keys"`
		IgnoreMissing bool   `config:"ignore_missing"`
		IgnoreFailure bool   `config:"ignore_failure"`
	}
	dnsCache struct {
		Enabled  bool          `config:"enabled"`
		TTL      time.Duration `config:"ttl"`
		MinTTL   time.Duration `config:"min_ttl"`
		Capacity struct {
			Initial int `config:"initial"`
			Max     int `config:"max"`
		} `config:"capacity"`
	}
)

var processorSettings = map[string]any{
	"add_cloud_metadata": struct {
		Timeout   time.Duration     `config:"timeout"`
		TLS       *tlscommon.Config `config:"ssl"`
		Overwrite bool              `config:"overwrite"`
		Providers []string          `config:"providers"`
		Host      string            `config:"host"`
	}{},
	// libbeat's own struct is exported, and would link Kubernetes' client to whatever reads a configuration.
	"add_docker_metadata": struct {
		Host string `config:"host"`
		TLS  struct {
			CA          string `config:"certificate_authority"`
			Certificate string `config:"certificate"`
			Key         string `config:"key"`
		} `config:"ssl"`
		MatchFields      []string `config:"match_fields"`
		MatchSource      bool     `config:"match_source"`
		MatchShortID     bool     `config:"match_short_id"`
		MatchSourceIndex int      `config:"match_source_index"`
		MatchPIDs        []string `config:"match_pids"`
		HostFS           string   `config:"hostfs"`
		Labels           struct {
			Dedot bool `config:"dedot"`
		} `config:"labels"`
		CleanupTimeout time.Duration `config:"cleanup_timeout"`
	}{},
	"add_fields": struct {
		Fields map[string]any `config:"fields"`
		Target string         `config:"target"`
	}{},
	"add_formatted_index": struct {
		Index string `config:"index"`
	}{},
	"add_host_metadata": add_host_metadata.Config{},
	"add_id": struct {
		TargetField string `config:"target_field"`
		Type        string `config:"type"`
	}{},
	"add_kubernetes_metadata": struct {
		KubeConfig        string `config:"kube_config"`
		KubeClientOptions struct {
			QPS   float32 `config:"qps"`
			Burst int     `config:"burst"`
		} `config:"kube_client_options"`
		KubeAdm             bool          `config:"use_kubeadm"`
		Node                string        `config:"node"`
		Scope               string        `config:"scope"`
		Namespace           string        `config:"namespace"`
		SyncPeriod          time.Duration `config:"sync_period"`
		CleanupTimeout      time.Duration `config:"cleanup_timeout"`
		Indexers            any           `config:"indexers"`
		Matchers            any           `config:"matchers"`
		DefaultMatchers     toggle        `config:"default_matchers"`
		DefaultIndexers     toggle        `config:"default_indexers"`
		AddResourceMetadata struct {
			Node       any  `config:"node"`
			Namespace  any  `config:"namespace"`
			Deployment bool `config:"deployment"`
			CronJob    bool `config:"cronjob"`
		} `config:"add_resource_metadata"`
		Labels struct {
			Dedot bool `config:"dedot"`
		} `config:"labels"`
		Annotations struct {
			Dedot bool `config:"dedot"`
		} `config:"annotations"`
		UseRegexInclude    bool     `config:"use_regex_include"`
		UseRegexExclude    bool     `config:"use_regex_exclude"`
		IncludeLabels      []string `config:"include_labels"`
		ExcludeLabels      []string `config:"exclude_labels"`
		IncludeAnnotations []string `config:"include_annotations"`
	}{},
	"add_labels": struct {
		Labels map[string]any `config:"labels"`
	}{},
	"add_locale": struct {
		Format string `config:"format"`
	}{},
	"add_network_direction": struct {
		Source           string   `config:"source"`
		Destination      string   `config:"destination"`
		Target           string   `config:"target"`
		InternalNetworks []string `config:"internal_networks"`
	}{},
	"add_observer_metadata": add_observer_metadata.Config{},
	"add_process_metadata": struct {
		IgnoreMissing         bool          `config:"ignore_missing"`
		OverwriteKeys         bool          `config:"overwrite_keys"`
		RestrictedFields      bool          `config:"restricted_fields"`
		MatchPIDs             []string      `config:"match_pids"`
		Target                string        `config:"target"`
		IncludeFields         []string      `config:"include_fields"`
		HostPath              string        `config:"host_path"`
		CgroupPrefixes        []string      `config:"cgroup_prefixes"`
		CgroupRegex           string        `config:"cgroup_regex"`
		CgroupCacheExpireTime time.Duration `config:"cgroup_cache_expire_time"`
	}{},
	"add_tags": struct {
		Tags   []string `config:"tags"`
		Target string   `config:"target"`
	}{},
	"append": struct {
		Fields            []string `config:"fields"`
		TargetField       string   `config:"target_field"`
		Values            []any    `config:"values"`
		IgnoreMissing     bool     `config:"ignore_missing"`
		IgnoreEmptyValues bool     `config:"ignore_empty_values"`
		FailOnError       bool     `config:"fail_on_error"`
		AllowDuplicate    bool     `config:"allow_duplicate"`
	}{},
	"community_id": struct {
		Fields struct {
			SourceIP        string `config:"source_ip"`
			SourcePort      string `config:"source_port"`
			DestinationIP   string `config:"destination_ip"`
			DestinationPort string `config:"destination_port"`
			IANANumber      string `config:"iana_number"`
			Transport       string `config:"transport"`
			ICMPType        string `config:"icmp_type"`
			ICMPCode        string `config:"icmp_code"`
		} `config:"fields"`
		Target string `config:"target"`
		Seed   uint16 `config:"seed"`
	}{},
	"convert": struct {
		Fields []struct {
			Common fromTo `config:",inline"`
			Type   string `config:"type"`
		} `config:"fields"`
		Tag           string `config:"tag"`
		IgnoreMissing bool   `config:"ignore_missing"`
		FailOnError   bool   `config:"fail_on_error"`
		Mode          string `config:"mode"`
	}{},
	"copy_fields":         fromToFields{},
	"decode_base64_field": fromToField{},
	"decode_duration": struct {
		Field  string `config:"field"`
		Format string `config:"format"`
	}{},
	"decode_json_fields": struct {
		Fields        []string `config:"fields"`
		MaxDepth      int      `config:"max_depth"`
		ExpandKeys    bool     `config:"expand_keys"`
		OverwriteKeys bool     `config:"overwrite_keys"`
		AddErrorKey   bool     `config:"add_error_key"`
		ProcessArray  bool     `config:"process_array"`
		Target        string   `config:"target"`
		DocumentID    string   `config:"document_id"`
	}{},
	"decode_xml": struct {
		Common     decodedXML `config:",inline"`
		DocumentID string     `config:"document_id"`
		ToLower    bool       `config:"to_lower"`
	}{},
	"decode_xml_wineventlog": struct {
		Common       decodedXML `config:",inline"`
		MapECSFields bool       `config:"map_ecs_fields"`
		Language     uint32     `config:"language"`
	}{},
	"decompress_gzip_field": fromToField{},
	"detect_mime_type": struct {
		Field  string `config:"field"`
		Target string `config:"target"`
	}{},
	"dissect": struct {
		Tokenizer     string `config:"tokenizer"`
		Field         string `config:"field"`
		TargetPrefix  string `config:"target_prefix"`
		IgnoreFailure bool   `config:"ignore_failure"`
		OverwriteKeys bool   `config:"overwrite_keys"`
		TrimValues    string `config:"trim_values"`
		TrimChars     string `config:"trim_chars"`
	}{},
	"dns": struct {
		SuccessCache dnsCache       `config:"success_cache"`
		FailureCache dnsCache       `config:"failure_cache"`
		Nameservers  []string       `config:"nameservers"`
		Timeout      time.Duration  `config:"timeout"`
		Type         string         `config:"type"`
		Action       string         `config:"action"`
		TagOnFailure []string       `config:"tag_on_failure"`
		Fields       map[string]any `config:"fields"`
		Transport    string         `config:"transport"`
	}{},
	"drop_event": struct{}{},
	"drop_fields": struct {
		Fields        []string `config:"fields"`
		IgnoreMissing bool     `config:"ignore_missing"`
	}{},
	"extract_array": struct {
		Field         string         `config:"field"`
		Mappings      map[string]any `config:"mappings"`
		IgnoreMissing bool           `config:"ignore_missing"`
		OmitEmpty     bool           `config:"omit_empty"`
		OverwriteKeys bool           `config:"overwrite_keys"`
		FailOnError   bool           `config:"fail_on_error"`
	}{},
	"fingerprint": struct {
		Method        string   `config:"method"`
		Fields        []string `config:"fields"`
		TargetField   string   `config:"target_field"`
		Encoding      string   `config:"encoding"`
		IgnoreMissing bool     `config:"ignore_missing"`
	}{},
	"include_fields": struct {
		Fields []string `config:"fields"`
	}{},
	"lowercase": alteredFields{},
	"move_fields": struct {
		Exclude       []string `config:"exclude"`
		Fields        []string `config:"fields"`
		From          string   `config:"from"`
		To            string   `config:"to"`
		IgnoreMissing bool     `config:"ignore_missing"`
	}{},
	"now": struct {
		Field string `config:"field"`
	}{},
	"rate_limit": struct {
		Limit     string   `config:"limit"`
		Fields    []string `config:"fields"`
		Algorithm struct {
			TokenBucket struct {
				BurstMultiplier float64 `config:"burst_multiplier"`
				GC              struct {
					NumCalls uint `config:"num_calls"`
				} `config:"gc"`
			} `config:"token_bucket"`
		} `config:"algorithm"`
	}{},
	"registered_domain": struct {
		Field                string `config:"field"`
		TargetField          string `config:"target_field"`
		TargetSubdomainField string `config:"target_subdomain_field"`
		TargetETLDField      string `config:"target_etld_field"`
		IgnoreMissing        bool   `config:"ignore_missing"`
		IgnoreFailure        bool   `config:"ignore_failure"`
		ID                   string `config:"id"`
	}{},
	"rename": fromToFields{},
	"replace": struct {
		Fields []struct {
			Field       string `config:"field"`
			Pattern     string `config:"pattern"`
			Replacement string `config:"replacement"`
		} `config:"fields"`
		IgnoreMissing bool `config:"ignore_missing"`
		FailOnError   bool `config:"fail_on_error"`
	}{},
	"script": struct {
		Lang               string         `config:"lang"`
		Tag                string         `config:"tag"`
		Source             string         `config:"source"`
		File               string         `config:"file"`
		Files              []string       `config:"files"`
		Params             map[string]any `config:"params"`
		Timeout            time.Duration  `config:"timeout"`
		TagOnException     string         `config:"tag_on_exception"`
		MaxCachedSessions  int            `config:"max_cached_sessions"`
		OnlyCachedSessions bool           `config:"only_cached_sessions"`
	}{},
	"syslog": struct {
		Field         string `config:"field"`
		Format        string `config:"format"`
		TimeZone      string `config:"timezone"`
		OverwriteKeys bool   `config:"overwrite_keys"`
		IgnoreMissing bool   `config:"ignore_missing"`
		IgnoreFailure bool   `config:"ignore_failure"`
		Tag           string `config:"tag"`
	}{},
	"translate_ldap_attribute": struct {
		Field               string            `config:"field"`
		TargetField         string            `config:"target_field"`
		LDAPDomain          string            `config:"ldap_domain"`
		LDAPAddress         string            `config:"ldap_address"`
		LDAPBaseDN          string            `config:"ldap_base_dn"`
		LDAPBindUser        string            `config:"ldap_bind_user"`
		LDAPBindPassword    string            `config:"ldap_bind_password"`
		LDAPSearchAttribute string            `config:"ldap_search_attribute"`
		LDAPMappedAttribute string            `config:"ldap_mapped_attribute"`
		LDAPSearchTimeLimit int               `config:"ldap_search_time_limit"`
		LDAPTLS             *tlscommon.Config `config:"ldap_ssl"`
		ADGUIDTranslation   string            `config:"ad_guid_translation"`
		IgnoreMissing       bool              `config:"ignore_missing"`
		IgnoreFailure       bool              `config:"ignore_failure"`
	}{},
	"truncate_fields": struct {
		Common   ofFields `config:",inline"`
		MaxBytes int      `config:"max_bytes"`
		MaxChars int      `config:"max_characters"`
	}{},
	"uppercase": alteredFields{},
	"urldecode": fromToFields{},
}

// conditional is what every processor takes.
type conditional struct {
	When *conditions.Config `config:"when"`
}

// branches are a choice between lists of processors.
type branches struct {
	If   *conditions.Config `config:"if"`
	Then any                `config:"then"`
	Else any                `config:"else"`
}

// CheckProcessors reports what is wrong with the names of c's processors and of their settings, and with the types of
// values. path is what messages call c.
func CheckProcessors(path string, c *conf.C) error { return checkLists(path, c, "processors") }

// checkLists checks the lists of processors that c has under names.
func checkLists(path string, c *conf.C, names ...string) error {
	var errs []error
	for _, name := range names {
		at := settings.Join(path, name)
		list, err := c.Child(name, -1)
		if err != nil || !c.HasField(name) {
			continue
		}
		if list.IsDict() && len(list.GetFields()) > 0 { // one, which libbeat takes for a list of it
			errs = append(errs, checkProcessor(at, list))
			continue
		}
		n, err := c.CountField(name)
		if err != nil {
			continue
		}
		for i := range n {
			if one, err := c.Child(name, i); err == nil {
				errs = append(errs, checkProcessor(settings.Join(at, strconv.Itoa(i)), one))
			}
		}
	}
	return errors.Join(errs...)
}

func checkProcessor(path string, c *conf.C) error {
	if c.HasField("if") {
		return errors.Join(settings.Unknown(path, c, branches{}), checkConditionAt(path, "if", c),
			checkLists(path, c, "then", "else"), settings.Read(path, c, &branches{}))
	}
	var errs []error
	names := slices.Sorted(slices.Values(c.GetFields()))
	for _, name := range names {
		at := settings.Join(path, name)
		known, ok := processorSettings[name]
		if !ok {
			all := strings.Join(slices.Sorted(maps.Keys(processorSettings)), ", ")
			errs = append(errs, fmt.Errorf("%s: no such processor; known are %s", at, all))
			continue
		}
		one, err := c.Child(name, -1)
		if err != nil {
			continue // it has no settings
		}
		errs = append(errs, checkSettings(at, name, one, known))
	}
	if len(names) > 1 {
		errs = append(errs, fmt.Errorf("%s: %s are in one element of the list; each processor is an element of its own",
			path, strings.Join(names, " and ")))
	}
	return errors.Join(errs...)
}

// checkSettings checks the settings of one processor.
func checkSettings(path, name string, c *conf.C, known any) error {
	var when conditional
	err := errors.Join(settings.Unknown(path, c, known, conditional{}), checkConditionAt(path, "when", c),
		settings.Read(path, c, &when), settings.Read(path, c, settings.New(known)))
	if err == nil {
		err = makeProcessor(path, name, c)
	}
	return err
}

// checkConditionAt checks the condition that c has under a name, if there is one.
func checkConditionAt(path, name string, c *conf.C) error {
	condition, err := c.Child(name, -1)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	return checkCondition(settings.Join(path, name), condition)
}

// conditionValues say what a condition's values must be.
var conditionValues = map[string]string{
	"contains": "text", "equals": "text, a whole number of 0 or more, or true or false",
	"network": "an IP range, or one of private, public, loopback, unicast and the other names of networks that the " +
		"documentation has",
	"range": "a number, under FIELD.gt, FIELD.gte, FIELD.lt or FIELD.lte", "regexp": "a regular expression",
}

// checkCondition reports which values of a condition libbeat refuses, and what it would pass over: it takes the first
// of several that stand side by side.
func checkCondition(path string, c *conf.C) error {
	var errs []error
	kinds := slices.Sorted(slices.Values(c.GetFields()))
	for _, kind := range kinds {
		at := settings.Join(path, kind)
		below, err := c.Child(kind, -1)
		switch {
		case err != nil: // it is one value, which settings.Read has reported
		case kind == "not":
			errs = append(errs, checkCondition(at, below))
		case kind == "and", kind == "or":
			n, _ := c.CountField(kind) // it is there
			for i := range n {
				if one, err := c.Child(kind, i); err == nil {
					errs = append(errs, checkCondition(settings.Join(at, strconv.Itoa(i)), one))
				}
			}
		case conditionValues[kind] != "":
			errs = append(errs, checkComparisons(at, kind, below))
		}
	}
	switch {
	case len(kinds) == 0:
		errs = append(errs, fmt.Errorf("%s: is missing; it must be a condition, such as equals or regexp", path))
	case len(kinds) > 1:
		errs = append(errs, fmt.Errorf("%s: %s stand side by side, and only one of them would count; put them into a list "+
			"under `and` or `or`", path, strings.Join(kinds, " and ")))
	}
	return errors.Join(errs...)
}

// checkComparisons checks each value of a condition by itself, as libbeat does.
func checkComparisons(path, kind string, c *conf.C) error {
	var values map[string]any
	if c.Unpack(&values) != nil {
		return nil // settings.Read has reported it
	}
	var errs []error
	flat := mapstr.M(values).Flatten()
	for _, field := range slices.Sorted(maps.Keys(flat)) {
		var one conditions.Config
		err := conf.MustNewConfigFrom(map[string]any{kind: map[string]any{field: flat[field]}}).Unpack(&one)
		if err == nil {
			_, err = conditions.NewCondition(&one, logp.NewNopLogger())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %v is not allowed; it must be %s (%w)", settings.Join(path, field),
				valueOf(flat[field]), conditionValues[kind], settings.Reason(err)))
		}
	}
	return errors.Join(errs...)
}

// valueOf is a value as messages have it.
func valueOf(v any) any {
	if text, ok := v.(string); ok {
		return quoted(text)
	}
	return v
}

// farReaching are the processors that ask others while they are made: a cloud, Docker, Kubernetes, a directory. libbeat
// makes them when the Beat starts.
var farReaching = []string{"add_cloud_metadata", "add_docker_metadata", "add_kubernetes_metadata",
	"translate_ldap_attribute"}

// makeProcessor reports what libbeat finds wrong with a processor, beside what its settings' types say.
func makeProcessor(path, name string, c *conf.C) error {
	if slices.Contains(farReaching, name) {
		return nil
	}
	made, err := processors.New(processors.PluginConfig{conf.MustNewConfigFrom(map[string]any{name: c})},
		logp.NewNopLogger())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return made.Close()
}
