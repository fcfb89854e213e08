package usageapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// People who look at the page log in with a token of the cluster. It is kept in a cookie, so
// that no replica has to remember it: each reviews it, as any other token. No script can read
// the cookie, and no other site can have a browser send it.

// sessionCookie is its name; the prefix binds it to this host, and to HTTPS.
const sessionCookie = "__Host-usage-session"

// maxToken is how long a token may be that is kept in a cookie: browsers take 4,096 bytes
// with the cookie's name and attributes.
const maxToken = 3800

// crossOrigin tells requests that another site has a browser make from the page's own.
var crossOrigin = http.NewCrossOriginProtection()

// fromElsewhere tells whether a browser makes the request for another site. Cookies count for
// no such request, whether it changes anything or not.
func fromElsewhere(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	return crossOrigin.Check(r) != nil
}

// cookieToken is the token of the request's cookie; "" where there is none that counts.
func cookieToken(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || !isToken(cookie.Value) || fromElsewhere(r) {
		return ""
	}
	return cookie.Value
}

// isToken tells whether a text is a bearer token by its form (RFC 6750).
func isToken(text string) bool {
	return text != "" && len(text) <= maxToken && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == ""
}

// sessions answers who asks, and logs people in and out.
func (a *API) sessions(mux *http.ServeMux) {
	const path = "/ui/session"
	whoami := a.serve(route{name: "session", answer: (*call).session, refuse: refuse, weight: 0})
	mux.Handle("GET "+path, whoami)
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		token, p := loginToken(r)
		if p != nil {
			refuse(w, p)
			return
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Del(wire.TokenHeader)
		r.Body, r.ContentLength = http.NoBody, 0
		a.serve(route{name: "session", refuse: refuse, answer: func(c *call) error {
			http.SetCookie(c.writer, newSession(token, 0))
			return c.session()
		}}).ServeHTTP(w, r)
	})
	mux.HandleFunc("DELETE "+path, func(w http.ResponseWriter, r *http.Request) {
		if fromElsewhere(r) {
			refuse(w, forbidden("this request comes from another site: only the page itself logs out"))
			return
		}
		http.SetCookie(w, newSession("", -1))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}\n") // who asked may have gone
	})
	mux.Handle(path, notAllowed([]string{http.MethodGet, http.MethodPost, http.MethodDelete}, refuse))
}

// loginToken is the token of a login's body.
func loginToken(r *http.Request) (token string, p *problem) {
	if fromElsewhere(r) {
		return "", forbidden("this request comes from another site: only the page itself logs in")
	}
	// No form of another site can have this type.
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		return "", badRequest("Content-Type: want application/json")
	}
	var body struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 4*maxToken)).Decode(&body); err != nil {
		return "", badRequest("token: the body cannot be read: want {\"token\": \"...\"}")
	}
	body.Token = strings.TrimPrefix(strings.TrimSpace(body.Token), "Bearer ")
	switch {
	case len(body.Token) > maxToken:
		return "", badRequest("token: it has %d characters, and a cookie holds %d: use kubectl usage dashboard", len(body.Token), maxToken)
	case !isToken(body.Token):
		return "", badRequest("token: this is no bearer token: want one such as kubectl create token makes")
	}
	return body.Token, nil
}

// newSession is the cookie of a token. It lasts as long as the browser's session; with a
// negative age it is deleted.
func newSession(token string, age int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: token, Path: "/", MaxAge: age,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

// session answers who asks, and whether by a cookie.
func (c *call) session() error {
	return c.write(wire.Session{User: c.caller.GetName(), LoggedIn: c.byCookie})
}
