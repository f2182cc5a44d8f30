package contents

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/net/idna"

	"github.com/terrane/terrane/internal/tomlfile"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// maxManifest bounds terrane.toml, in bytes.
const maxManifest = 256 << 10

// manifest is terrane.toml as tenants write it.
type manifest struct {
	Domains []string          `toml:"domains"`
	Env     map[string]string `toml:"env"`
	Limits  struct {
		Memory            tomlfile.Size     `toml:"memory"`
		CPU               tomlfile.Duration `toml:"cpu"`
		Wall              tomlfile.Duration `toml:"wall"`
		RequestBody       tomlfile.Size     `toml:"request_body"`
		ResponseBody      tomlfile.Size     `toml:"response_body"`
		Concurrency       int               `toml:"concurrency"`
		RequestsPerSecond int               `toml:"requests_per_second"`
		Subrequests       int               `toml:"subrequests"`
	} `toml:"limits"`
	Fetch struct {
		Allow []string `toml:"allow"`
	} `toml:"fetch"`
	State struct {
		Strict bool `toml:"strict"`
	} `toml:"state"`
	Routes []struct {
		Path   string `toml:"path"`
		Module string `toml:"module"`
	} `toml:"route"`
	Crons []struct {
		Schedule string `toml:"schedule"`
		Path     string `toml:"path"`
	} `toml:"cron"`
	Subscriptions []struct {
		Subject string `toml:"subject"`
		Path    string `toml:"path"`
	} `toml:"subscribe"`
	Regions []string `toml:"regions"`
}

// Manifest decodes the manifest of a release. That of a preview runs nothing by itself. The
// error is a refusal that names every fault with its line.
func Manifest(rec *mirror.Record, data []byte) (tenant.Manifest, error) {
	m, err := decodeManifest(data, rec.Files)
	if _, _, ok := rec.ID.CutPreview(); ok {
		m.Crons = nil
	}
	return m, err
}

// decodeManifest reads terrane.toml; files are those of its folder.
func decodeManifest(data []byte, files map[string]mirror.File) (tenant.Manifest, error) {
	var src manifest
	doc, _ := tomlfile.Decode(tenant.ManifestName, data, &src) // its faults stay in doc
	m := tenant.Manifest{
		Env: src.Env,
		Limits: tenant.Limits{
			Memory: int64(src.Limits.Memory), CPU: time.Duration(src.Limits.CPU), Wall: time.Duration(src.Limits.Wall),
			RequestBody: int64(src.Limits.RequestBody), ResponseBody: int64(src.Limits.ResponseBody),
			Concurrency: src.Limits.Concurrency, RequestsPerSecond: src.Limits.RequestsPerSecond,
			Subrequests: src.Limits.Subrequests,
		},
		Fetch:   tenant.Fetch{Allow: src.Fetch.Allow},
		Regions: src.Regions,
		State:   tenant.State{Strict: src.State.Strict},
	}
	if doc.Has("regions") && len(src.Regions) == 0 {
		doc.Fault("regions", "want the name of a region at least, or no such key")
	}
	if doc.Has("domains") {
		m.Domains = domains(doc, src.Domains)
	}
	for key, n := range map[string]int{
		"concurrency": src.Limits.Concurrency, "requests_per_second": src.Limits.RequestsPerSecond, "subrequests": src.Limits.Subrequests,
	} {
		if n < 0 {
			doc.Fault("limits."+key, "%d: want 1 or more", n)
		}
	}
	for name, value := range src.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			doc.Fault("env."+name, "want a name without \"=\", and no zero byte")
		}
	}
	for i, r := range src.Routes {
		key := fmt.Sprintf("route[%d]", i)
		checkPath(doc, key+".path", strings.TrimSuffix(r.Path, "*"))
		if _, ok := files[r.Module]; !ok || !strings.HasSuffix(r.Module, ".wasm") {
			doc.Fault(key+".module", "%q is no module of this folder", r.Module)
		}
		m.Routes = append(m.Routes, tenant.Route{Path: r.Path, Module: r.Module})
	}
	for i, c := range src.Crons {
		key := fmt.Sprintf("cron[%d]", i)
		checkTarget(doc, key+".path", c.Path)
		if err := checkSchedule(c.Schedule); err != nil {
			doc.Fault(key+".schedule", "%q: %v", c.Schedule, err)
		}
		m.Crons = append(m.Crons, tenant.Cron{Schedule: c.Schedule, Path: c.Path})
	}
	for i, s := range src.Subscriptions {
		key := fmt.Sprintf("subscribe[%d]", i)
		checkTarget(doc, key+".path", s.Path)
		subject, err := tenant.ParseSubject(s.Subject, true)
		if err != nil {
			doc.Fault(key+".subject", "%v", err)
		}
		m.Subscriptions = append(m.Subscriptions, tenant.Subscription{Subject: subject, Path: s.Path})
	}
	if err := doc.Err(); err != nil {
		return tenant.Manifest{}, origin.Refuse("%v", err)
	}
	return m, nil
}

// domains is never nil: an empty list means that no domain may name the folder.
func domains(doc *tomlfile.Doc, names []string) []tenant.Pattern {
	out := []tenant.Pattern{}
	for i, name := range names {
		key := fmt.Sprintf("domains[%d]", i)
		parent, wild := strings.CutPrefix(name, "*.")
		ascii, err := idna.Lookup.ToASCII(parent)
		if err != nil {
			doc.Fault(key, "%q is no domain name", name)
			continue
		}
		if wild {
			ascii = "*." + ascii
		}
		p, err := tenant.ParsePattern(ascii)
		if err != nil {
			doc.Fault(key, "%v", err)
			continue
		}
		out = append(out, p)
	}
	return out
}

func checkSchedule(s string) error {
	switch {
	case strings.Contains(s, "TZ="):
		return errors.New("want no time zone: times are UTC")
	case len(strings.Fields(s)) != 5:
		return errors.New("want five fields, such as \"*/5 * * * *\"")
	}
	schedule, err := cron.ParseStandard(s)
	if err == nil && schedule.Next(time.Now()).IsZero() {
		err = errors.New("no such date ever comes: February has 29 days at most, and April, June, September and November have 30")
	}
	return err
}

func checkPath(doc *tomlfile.Doc, key, p string) {
	if !strings.HasPrefix(p, "/") || (p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/")) {
		doc.Fault(key, "%q: want a path from \"/\" without \".\", \"..\" or \"//\"", p)
	}
}

// checkTarget is checkPath for the path of a request that the edge makes.
func checkTarget(doc *tomlfile.Doc, key, p string) {
	checkPath(doc, key, p)
	if _, err := url.Parse(p); err != nil {
		doc.Fault(key, "%q: %v: write \"%%\" as \"%%25\"", p, errors.Unwrap(err))
	}
}
