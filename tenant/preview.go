package tenant

import (
	"errors"
	"fmt"
	"strings"
)

// A preview is a branch of a tenant's folder, shown at a name below the operator's
// preview domain. That name holds the whole of a domain of the tenant's, so that it
// leads to one domain and so to one tenant: whoever has a domain that looks like
// another's gets other names.

// PreviewFolder is the element that stands between a tenant's ID, or its folder, and
// the name of a preview. No TXT record can name it, and no folder is called so: names
// with a dot in front are nobody's.
const PreviewFolder = ".preview"

// Preview is the ID of a preview of the tenant. ParseID refuses it.
func (id ID) Preview(name string) ID { return id + "/" + PreviewFolder + "/" + ID(name) }

// CutPreview returns whose preview an ID is, and its name; ok is false, and of the ID
// itself, for one of a tenant.
func (id ID) CutPreview() (of ID, name string, ok bool) {
	before, name, ok := strings.Cut(string(id), "/"+PreviewFolder+"/")
	return ID(before), name, ok
}

// ParseIDOrPreview is ParseID for the operator, who may mean a preview.
func ParseIDOrPreview(s string) (ID, error) {
	of, name, ok := ID(s).CutPreview()
	id, err := ParseID(string(of))
	if err != nil || !ok {
		return id, err
	}
	return id.Preview(name), CheckPreview(name)
}

// maxPreviewName leaves room for a domain in the label that it is part of.
const maxPreviewName = 30

// CheckPreview refuses what cannot be a preview's name, in words for who made it.
func CheckPreview(name string) error {
	switch {
	case len(name) > maxPreviewName:
		return fmt.Errorf("%.80q: the name of a preview has at most %d characters", name, maxPreviewName)
	case !validLabel(name) || strings.Contains(name, "--"):
		return fmt.Errorf("%q: the name of a preview has a-z, 0-9 and single \"-\" inside", name)
	case len(name) == 2:
		return fmt.Errorf("%q: a name of two characters would make a reserved one (RFC 5890 2.3.1): take one or three", name)
	}
	return nil
}

// PreviewHost is where a preview of the tenant with the domain of is shown.
func PreviewHost(name string, of, domain Host) (Host, error) {
	if err := CheckPreview(name); err != nil {
		return "", err
	}
	label := name + "--" + strings.ReplaceAll(strings.ReplaceAll(string(of), "-", "--"), ".", "-")
	if len(label) > 63 {
		return "", fmt.Errorf("%q has %d characters: a label has at most 63: take a shorter name, or another domain", label, len(label))
	}
	return ParseHost(label + "." + string(domain))
}

// ParsePreviewHost reads what PreviewHost made. below is false for a host that is not
// below the preview domain; the error is in words for the visitor.
func ParsePreviewHost(h, domain Host) (name string, of Host, below bool, err error) {
	label, below := strings.CutSuffix(string(h), "."+string(domain))
	if !below {
		return "", "", h == domain, errNoPreview
	}
	name, rest, ok := strings.Cut(label, "--")
	if !ok || strings.Contains(label, ".") {
		return "", "", true, errNoPreview
	}
	if err := CheckPreview(name); err != nil {
		return "", "", true, err
	}
	parts := strings.Split(rest, "--")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "-", ".")
	}
	of, err = ParseHost(strings.Join(parts, "-"))
	if err != nil {
		return "", "", true, fmt.Errorf("%w: %w", errNoPreview, err)
	}
	if canonical, err := PreviewHost(name, of, domain); err != nil || canonical != h || of.below(domain) {
		return "", "", true, errNoPreview
	}
	return name, of, true, nil
}

// OfPreview makes the verdict on the domain of that on one of its previews: whose the domain
// is holds for the name of the preview too.
func (v Verdict) OfPreview(name string, of Host) Verdict {
	v.Preview, v.Host, v.Reason = true, of, fmt.Sprintf("preview %s of %s: %s", name, of, v.Reason)
	if v.Standing == Verified {
		v.Tenant = v.Tenant.Preview(name)
	}
	return v
}

var errNoPreview = errors.New("a preview is shown at NAME--DOMAIN with the domain's \".\" written \"-\" and its \"-\" written \"--\"")

func (h Host) below(domain Host) bool {
	return h == domain || strings.HasSuffix(string(h), "."+string(domain))
}
