package examples_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// checks says what each guest does, by its folder.
var checks = map[string]func(*testing.T, *site){
	"hello-rust":           func(t *testing.T, s *site) { hello(t, s, "Rust", true) },
	"hello-c":              func(t *testing.T, s *site) { hello(t, s, "C", true) },
	"hello-wat":            func(t *testing.T, s *site) { hello(t, s, "WAT", false) },
	"hello-assemblyscript": func(t *testing.T, s *site) { hello(t, s, "AssemblyScript", true) },
	"hello-go":             func(t *testing.T, s *site) { hello(t, s, "Go", true) },
	"fetcher":              fetcher,
	"form":                 form,
	"json-api":             jsonAPI,
	"proxy":                proxy,
	"jwt":                  jwt,
	"webhook":              webhook,
	"doh":                  doh,
	"blog":                 blog,
	"links":                links,
	"vote":                 vote,
	"resize":               resize,
	"shop":                 shop,
}

func (a answer) want(t *testing.T, code int, body string) {
	t.Helper()
	if a.code != code || a.body != body {
		t.Errorf("got %d %q, want %d %q", a.code, a.body, code, body)
	}
}

func (a answer) contains(t *testing.T, code int, part string) {
	t.Helper()
	if a.code != code || !strings.Contains(a.body, part) {
		t.Errorf("got %d %q, want %d and in it %q", a.code, a.body, code, part)
	}
}

func (a answer) has(t *testing.T, name, value string) {
	t.Helper()
	if got := strings.Join(a.header.Values(name), ", "); got != value {
		t.Errorf("header %s: got %q, want %q", name, got, value)
	}
}

// upstream is a server that a guest fetches from.
func upstream(t *testing.T, answer func(http.ResponseWriter, *http.Request) string) *httptest.Server {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.WriteString(w, answer(w, r)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(up.Close)
	return up
}

func hello(t *testing.T, s *site, lang string, asks bool) {
	a := s.get("/")
	a.want(t, 200, "Hello, world from "+lang+"!\n")
	a.has(t, "Content-Type", "text/plain; charset=utf-8")
	if asks {
		s.get("/?x=1&name=J%c3%bcrgen+%26+co").want(t, 200, "Hello, Jürgen & co from "+lang+"!\n")
		s.get("/?name=").want(t, 200, "Hello,  from "+lang+"!\n")
	}
	if asks && lang != "Go" { // whose standard library drops what is malformed
		s.get("/?name=%zz%4").want(t, 200, "Hello, %zz%4 from "+lang+"!\n")
	}
}

func fetcher(t *testing.T, s *site) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) string {
		w.Header().Set("Content-Type", "text/x-test")
		w.WriteHeader(http.StatusTeapot)
		return "at " + r.URL.String()
	})
	target := url.QueryEscape(up.URL + "/a?b=c")
	s.get("/").contains(t, 400, "usage")
	a := s.get("/?url=" + target)
	a.want(t, 418, "at /a?b=c")
	a.has(t, "Content-Type", "text/x-test")
	s.get("/?show=length&url="+target).want(t, 200, up.URL+"/a?b=c answered 418, 9 bytes\n")
	s.get("/?url=nowhere").contains(t, 502, "nowhere: ")
}

func form(t *testing.T, s *site) {
	s.get("/").contains(t, 200, `<form method="post">`)
	a := s.do("POST", "/", "name=Ann+%3Cb%3E&message=%22x%22+%26+'y'%25")
	a.contains(t, 200, "Thank you, Ann &lt;b&gt;!")
	a.contains(t, 200, "<blockquote>&quot;x&quot; &amp; &#39;y&#39;%</blockquote>")
	a.has(t, "Content-Type", "text/html; charset=utf-8")
	s.do("POST", "/", "").contains(t, 422, `role="alert"`)
	s.do("PUT", "/", "").has(t, "Allow", "GET, HEAD, POST")
}

func jsonAPI(t *testing.T, s *site) {
	s.get("/api/notes").want(t, 200, `{"notes":[]}`+"\n")
	made := s.do("POST", "/api/notes", `{"n": 1.50, "text": "\u006dilk\n\u0001\\ \"\ud83e\udd5b\""}`)
	made.contains(t, 201, `"text":"milk\n\u0001\\ \"🥛\""`)
	place := made.header.Get("Location")
	s.get(place).want(t, 200, made.body)
	s.do("POST", "/api/notes", `{"text": "bread"}`).contains(t, 201, "bread")
	var all struct{ Notes []struct{ ID, Text string } }
	if err := json.Unmarshal([]byte(s.get("/api/notes").body), &all); err != nil || len(all.Notes) != 2 {
		t.Errorf("got %v, %v, want two notes", all, err)
	}
	s.do("DELETE", place, "").want(t, 204, "")
	s.do("DELETE", place, "").contains(t, 404, "error")
	s.get(place).contains(t, 404, "error")
	s.get("/api/notes").contains(t, 200, "bread")
	for _, body := range []string{"", "{", "[1,]", "\xff", strings.Repeat("[", 1000), `"\ud800"`, "{} {}"} {
		s.do("POST", "/api/notes", body).contains(t, 400, "error")
	}
	for _, body := range []string{"{}", "[]", `{"text": 1}`, `{"text": " "}`} {
		s.do("POST", "/api/notes", body).contains(t, 422, "error")
	}
	s.do("PUT", "/api/notes", "").has(t, "Allow", "GET, POST")
	s.get("/api").contains(t, 404, "error")
}

func proxy(t *testing.T, s *site) {
	s.get("/").contains(t, 500, "UPSTREAM")
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) string {
		w.Header().Set("Server", "secret/1.0")
		w.Header().Set("X-Powered-By", "secret")
		w.Header().Add("Set-Cookie", "a=1; Domain=origin.example; Path=/")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusNotFound)
		body, _ := io.ReadAll(r.Body)
		return fmt.Sprintf("%s %s %s from %s for %s, %s", r.Method, r.URL, body,
			r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Host"], r.Header["X-Own"])
	})
	s.tenant.Env["UPSTREAM"] = up.URL + "/base/"
	a := s.do("POST", "/x%20y?q=1", "text", "X-Forwarded-For", "127.0.0.1", "X-Own", "1", "X-Own", "2")
	a.want(t, 404, "POST /base/x%20y?q=1 text from [192.0.2.1] for [alice.localhost], [1 2]")
	a.has(t, "Server", "")
	a.has(t, "X-Powered-By", "")
	a.has(t, "Set-Cookie", "a=1; Path=/, b=2")
	a.has(t, "X-Content-Type-Options", "nosniff")
	up.Close()
	s.get("/").want(t, 502, "the upstream did not answer\n")
}

func jwt(t *testing.T, s *site) {
	s.get("/").contains(t, 500, "JWT_KEY")
	const key = "a key of at least thirty-two bytes"
	s.tenant.Env["JWT_KEY"] = key
	token := func(key, header string, claims map[string]any) string {
		body, _ := json.Marshal(claims)
		enc := base64.RawURLEncoding
		signed := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(body)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(signed))
		return signed + "." + enc.EncodeToString(mac.Sum(nil))
	}
	const hs256 = `{"typ":"JWT","alg":"HS256"}`
	now := time.Now().Unix()
	ask := func(token string) answer { return s.do("GET", "/", "", "Authorization", "Bearer "+token) }
	good := token(key, hs256, map[string]any{"sub": "ann", "exp": now + 600, "nbf": now - 1})
	s.get("/").contains(t, 401, "want a bearer token")
	for _, bad := range []struct{ token, why string }{
		{"", "the token is not genuine"},
		{good + "x", "the token is not genuine"},
		{strings.Replace(good, ".", ".e30", 1), "the token is not genuine"},
		{token("another key, which is as long as ours", hs256, map[string]any{"sub": "ann", "exp": now + 600}), "the token is not genuine"},
		{token(key, `{"alg":"none"}`, map[string]any{"sub": "ann", "exp": now + 600}), "the token is not genuine"},
		{token(key, hs256, map[string]any{"sub": "ann", "exp": now - 1}), "the token has expired"},
		{token(key, hs256, map[string]any{"sub": "ann"}), "the token has no time at which it ends"},
		{token(key, hs256, map[string]any{"sub": "ann", "exp": now + 600, "nbf": now + 300}), "the token is not valid yet"},
		{token(key, hs256, map[string]any{"exp": now + 600}), "the token names nobody"},
	} {
		ask(bad.token).want(t, 401, bad.why+"\n")
	}
	ask(good).want(t, 200, `{"subject":"ann"}`+"\n")
	codes := map[int]int{}
	for range 40 { // more than two minutes' worth, so that a minute's turn does no harm
		codes[ask(good).code]++
	}
	if codes[429] == 0 || codes[200] < 9 || len(codes) != 2 {
		t.Errorf("got these codes %v, want some 200, and 429 for most", codes)
	}
	ask(token(key, hs256, map[string]any{"sub": "bob", "exp": now + 600})).contains(t, 200, "bob")
}

func webhook(t *testing.T, s *site) {
	s.do("POST", "/", "").contains(t, 500, "WEBHOOK_SECRET")
	s.tenant.Env["WEBHOOK_SECRET"] = "It's a Secret to Everybody" // with this body, GitHub's own test vector
	const body, sum = "Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	s.do("POST", "/", body, "X-Github-Delivery", "1").contains(t, 401, "signature")
	s.do("POST", "/", body+"!", "X-Github-Delivery", "1", "X-Hub-Signature-256", sum).contains(t, 401, "signature")
	s.do("POST", "/", body, "X-Hub-Signature-256", sum).contains(t, 400, "X-GitHub-Delivery")
	send := func(id string) answer {
		return s.do("POST", "/", body, "X-Github-Delivery", id, "X-Github-Event", "push", "X-Hub-Signature-256", sum)
	}
	send("1").want(t, 202, "taken\n")
	send("1").want(t, 200, "known already\n")
	send("2").want(t, 202, "taken\n")
	s.get("/").want(t, 200, `[{"id":"1","event":"push"},{"id":"2","event":"push"}]`+"\n")
	signed := func(body string) string {
		mac := hmac.New(sha256.New, []byte(s.tenant.Env["WEBHOOK_SECRET"]))
		mac.Write([]byte(body))
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	for n := range 130 { // around the hash's blocks of 64 bytes
		long := strings.Repeat("x", n)
		s.do("POST", "/", long, "X-Github-Delivery", "1", "X-Hub-Signature-256", signed(long)).want(t, 200, "known already\n")
	}
	long := strings.Repeat("x", 1<<20+1)
	s.do("POST", "/", long, "X-Github-Delivery", "3", "X-Hub-Signature-256", signed(long)).contains(t, 413, "store")
}

func vote(t *testing.T, s *site) {
	s.get("/vote").contains(t, 200, "tabs</button> 0")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			a := s.do("POST", "/vote?x", "for=tabs")
			a.want(t, 303, "counted\n")
			a.has(t, "Location", "/vote")
		})
	}
	all.Wait()
	s.do("POST", "/vote", "for=neither").contains(t, 422, "no such option")
	a := s.get("/vote")
	a.contains(t, 200, "tabs</button> 20")
	a.contains(t, 200, "spaces</button> 0")
}

func resize(t *testing.T, s *site) {
	picture := image.NewNRGBA(image.Rect(0, 0, 400, 300))
	for y := range 300 {
		for x := range 400 {
			picture.SetNRGBA(x, y, color.NRGBA{uint8(x / 4), uint8(y % 2 * 200), 7, 255})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	up := upstream(t, func(http.ResponseWriter, *http.Request) string { return file.String() })
	decode := func(a answer) image.Image {
		t.Helper()
		a.has(t, "Content-Type", "image/png")
		img, err := png.Decode(strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err, a.code)
		}
		return img
	}
	for _, a := range []answer{s.do("POST", "/?width=100", file.String()), s.get("/?width=100&url=" + up.URL)} {
		img := decode(a)
		if got := img.Bounds(); got != image.Rect(0, 0, 100, 75) {
			t.Errorf("got %v, want 100x75", got)
		}
		if got, want := img.At(50, 40), (color.NRGBA{50, 100, 7, 255}); got != want {
			t.Errorf("got a pixel of %v, want %v", got, want)
		}
	}
	img := decode(s.do("POST", "/?width=1000", file.String()))
	for y := range 300 {
		for x := range 400 {
			if got, want := img.At(x, y), picture.At(x, y); got != want {
				t.Fatalf("at %d,%d: got %v, want %v", x, y, got, want)
			}
		}
	}
	s.do("POST", "/", file.String()).contains(t, 400, "usage")
	s.do("POST", "/?width=9", "GIF89a").contains(t, 415, "not a PNG")
	s.do("POST", "/?width=9", file.String()[:file.Len()/2]).contains(t, 415, "cut off")
	damaged := bytes.Replace(file.Bytes(), []byte("IDAT"), []byte("IDATxxxx"), 1)
	s.do("POST", "/?width=9", string(damaged)).contains(t, 415, "")
}
