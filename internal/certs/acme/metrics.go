package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// acmeMetrics count what ACME does.
type acmeMetrics struct {
	issued, failed *prometheus.CounterVec // by CA
	renewals       prometheus.Counter
	seconds        prometheus.Histogram
}

func newACMEMetrics(a *ACME, r prometheus.Registerer) (*acmeMetrics, error) {
	m := &acmeMetrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_certs_acme_issued_total", Help: "Certificates that a CA issued to this edge.",
		}, []string{"ca"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_certs_acme_failed_total", Help: "Orders of this edge that a CA did not fulfil.",
		}, []string{"ca"}),
		renewals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_certs_acme_renewals_total", Help: "Certificates that this edge renewed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "terrane_certs_acme_order_seconds", Help: "Time that a CA took to issue.",
			Buckets: []float64{.25, .5, 1, 2, 4, 8, 15, 30, 60},
		}),
	}
	if r == nil {
		return m, nil
	}
	memory := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_certs_acme_memory_count", Help: "Certificates in memory.",
	}, func() float64 { return float64(a.certs.len()) })
	var errs []error
	for _, c := range []prometheus.Collector{m.issued, m.failed, m.renewals, m.seconds, memory} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

// selfSigned makes a certificate that no one trusts.
func selfSigned(host string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: newSerial(), DNSNames: []string{host},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(rootLifetime)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
