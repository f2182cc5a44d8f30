package tenant

import "fmt"

// Standing is how far a host's DNS has been verified.
type Standing uint8

// The three standings. The zero value is the cautious one.
const (
	Unknown  Standing = iota // DNS did not answer, and the host was never verified
	Verified                 // its address is ours and its TXT names a tenant
	Denied                   // DNS answered, and what it said does not lead here
)

// String is the standing in lower case.
func (s Standing) String() string {
	switch s {
	case Verified:
		return "verified"
	case Denied:
		return "denied"
	case Unknown:
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler by String.
func (s Standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, the reverse of MarshalText.
func (s *Standing) UnmarshalText(text []byte) error {
	for _, v := range []Standing{Unknown, Verified, Denied} {
		if v.String() == string(text) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%.20q is no standing: want unknown, verified or denied", text)
}

// Verdict is what DNS says of a host.
type Verdict struct {
	Standing Standing `json:"standing"`
	Tenant   ID       `json:"tenant,omitempty"` // only when Verified
	// Reason is one sentence for the domain's owner: which record was found, and
	// which is wanted.
	Reason string `json:"reason"`
	// Preview says that the verdict is that on Host, whose preview this is: what holds for
	// Host holds for its previews.
	Preview bool `json:"preview,omitempty"`
	Host    Host `json:"host,omitempty"` // only with Preview
}
