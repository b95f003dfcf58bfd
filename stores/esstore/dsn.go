package esstore

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const dsnForm = `use "http://127.0.0.1:9200/audits" or "https://user:password@es1:9200,es2:9200/audits?ca_file=/etc/ca.pem"`

// parseDSN makes a client of dsn and puts what else it says into cfg. Errors never
// hold a part of dsn that can be a secret.
func parseDSN(dsn string, cfg Config) (*httpClient, Config, error) {
	fail := func(format string, args ...any) (*httpClient, Config, error) {
		return nil, cfg, fmt.Errorf("auditing: the DSN of Elasticsearch "+format, args...)
	}
	scheme, rest, ok := strings.Cut(dsn, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return fail("must begin with http:// or https://: %s", dsnForm)
	}
	if strings.ContainsAny(rest, "#\x00\r\n\t ") {
		return fail("holds a character that must be percent-encoded (%%20 for a blank, %%23 for #): %s", dsnForm)
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	c := &httpClient{}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		user, err1 := url.PathUnescape(user)
		password, err2 := url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return fail("has a user or password that is not percent-encoded: write %%25 for %%: %s", dsnForm)
		}
		c.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		authority = authority[at+1:]
	}
	for host := range strings.SplitSeq(authority, ",") {
		u, err := url.Parse(scheme + "://" + host)
		if err != nil || u.Hostname() == "" || u.User != nil {
			return fail("names a host that is none; a password with / ? # @ or , in it must be percent-encoded: %s", dsnForm)
		}
		if u.Port() == "" {
			u.Host += ":9200"
		}
		c.hosts = append(c.hosts, &node{address: u.Host})
	}
	c.scheme = scheme
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		c.prefix, path = "/"+path[:slash], path[slash+1:]
	}
	if path != "" {
		cfg.Index = path
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return fail("has parameters that cannot be parsed: %s", dsnForm)
	}
	var caFile, fingerprint string
	var monthly bool
	for name, values := range params {
		value := values[len(values)-1]
		var flag bool
		switch name {
		case "gzip", "template", "data_stream", "monthly":
			if flag, err = strconv.ParseBool(value); err != nil {
				return fail("has %s=%.16q: write true or false", name, value)
			}
		}
		switch name {
		case "api_key":
			c.authorization = "ApiKey " + value
		case "ca_file":
			caFile = value
		case "fingerprint":
			fingerprint = value
		case "gzip":
			cfg.Gzip = flag
		case "template":
			cfg.NoTemplate = !flag
		case "data_stream":
			cfg.DataStream = flag
		case "monthly":
			monthly = flag
		case "dead_letter":
			cfg.DeadLetter = value
		case "timeout":
			if cfg.Timeout, err = time.ParseDuration(value); err != nil || cfg.Timeout <= 0 {
				return fail("has timeout=%.16q: write a time such as 10s", value)
			}
		default:
			return fail("has the unknown parameter %.32q: known are api_key, ca_file, fingerprint, gzip, template, data_stream, monthly, dead_letter, timeout", name)
		}
	}
	if monthly {
		cfg.Route = Monthly(cfg.Index)
	}
	if scheme == "http" && (caFile != "" || fingerprint != "") {
		return fail("has ca_file or fingerprint, but says http: write https://")
	}
	trust, pin, err := tlsConfig(caFile, fingerprint)
	if err != nil {
		return nil, cfg, err
	}
	c.open(trust, pin)
	return c, cfg, nil
}

// tlsConfig returns whom to trust, and the certificate that is pinned, nil for none.
func tlsConfig(caFile, fingerprint string) (cfg *tls.Config, pin []byte, err error) {
	cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, nil, fmt.Errorf("auditing: the ca_file of Elasticsearch: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("auditing: the ca_file %s of Elasticsearch holds no certificate in PEM", caFile)
		}
	}
	if fingerprint != "" {
		pin, err = hex.DecodeString(strings.ReplaceAll(fingerprint, ":", ""))
		if err != nil || len(pin) != sha256.Size {
			return nil, nil, errors.New("auditing: the fingerprint of Elasticsearch is no SHA-256 in hex: use what openssl x509 -fingerprint -sha256 prints")
		}
		// The pinned certificate stands in for the system's authorities.
		cfg.InsecureSkipVerify = cfg.RootCAs == nil
	}
	return cfg, pin, nil
}

// verifyPinned accepts a server whose own certificate is the pinned one, or whose
// certificate for host is signed by the pinned one: to send that along proves nothing.
func verifyPinned(chain []*x509.Certificate, host string, pin []byte) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	pinned := false
	for i, cert := range chain {
		sum := sha256.Sum256(cert.Raw)
		switch {
		case !bytes.Equal(sum[:], pin):
			others.AddCert(cert)
		case i == 0:
			return nil
		default:
			roots.AddCert(cert)
			pinned = true
		}
	}
	if !pinned {
		return errors.New("no certificate of the server has the fingerprint of the DSN")
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: host})
	return err
}
