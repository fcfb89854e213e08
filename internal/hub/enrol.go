package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// tokenPrefix tells people, and programs that look for secrets, what a token is.
const tokenPrefix = "usage-hub-"

// newToken is a token of 256 random bits, which nothing can guess: its plain SHA-256 is
// enough to keep.
func newToken() string {
	secret := make([]byte, 32)
	rand.Read(secret) // it never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
}

// ReaderToken is a token for one who may ask, and its SHA-256 in hex.
func ReaderToken() (token, hash string) {
	token = newToken()
	return token, hex.EncodeToString(hashOf(token))
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// EnrolledError says that a cluster is enrolled already: another one with its UID, such as a
// clone, may be.
type EnrolledError struct{ Head *Head }

func (e *EnrolledError) Error() string {
	return fmt.Sprintf("the cluster %s is enrolled already, as %q, and has come to sequence %d. If this is another cluster, one was cloned from "+
		"the other, and they cannot be told apart: give one a namespace kube-system of its own. If it is the same, rotate its token: "+
		"usage-hub enrol --rotate", e.Head.Cluster, e.Head.Name, e.Head.Sequence)
}

// Enrol makes the hub know a cluster, and returns the token that proves to be it, which is
// kept nowhere. An *EnrolledError says that it knows it already.
func (s *Store) Enrol(ctx context.Context, cluster Cluster, name string) (string, error) {
	token, now := newToken(), s.clock.Now().Unix()
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, "INSERT INTO clusters (cluster, name, enrolled) VALUES ($1, $2, $3) ON CONFLICT (cluster) DO NOTHING",
			cluster, name, now)
		if err == nil && done.RowsAffected() == 0 {
			head, err := scanHead(tx.QueryRow(ctx, "SELECT "+headColumns+" FROM clusters WHERE cluster = $1", cluster))
			if err != nil {
				return err
			}
			return &EnrolledError{Head: head}
		}
		if err == nil {
			err = addToken(ctx, tx, cluster, token, now)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

func addToken(ctx context.Context, tx pgx.Tx, cluster Cluster, token string, now int64) error {
	_, err := tx.Exec(ctx, "INSERT INTO credentials (cluster, hash, created, expires) VALUES ($1, $2, $3, 0)", cluster, hashOf(token), now)
	return err
}

// Rotate returns a new token of a cluster. Those that it had are good for as many seconds
// more: 0, and they are good for nothing from now on.
func (s *Store) Rotate(ctx context.Context, cluster Cluster, grace int64) (string, error) {
	token, now := newToken(), s.clock.Now().Unix()
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, "SELECT true FROM clusters WHERE cluster = $1 FOR UPDATE", cluster).Scan(&there)
		if errors.Is(err, pgx.ErrNoRows) {
			return refuse(NotEnrolled, "the hub knows no cluster %s", cluster)
		}
		for _, statement := range []string{
			"DELETE FROM credentials WHERE cluster = $1 AND (expires BETWEEN 1 AND $2 OR $2 >= $3)",
			"UPDATE credentials SET expires = $3 WHERE cluster = $1 AND (expires = 0 OR expires > $3) AND $2 < $3",
		} {
			if err == nil {
				_, err = tx.Exec(ctx, statement, cluster, now, now+grace)
			}
		}
		if err == nil {
			err = addToken(ctx, tx, cluster, token, now)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// Authorize refuses who has no token of the cluster. That the hub does not know the
// cluster is no other answer: who may not ask learns nothing.
func (s *Store) Authorize(ctx context.Context, cluster Cluster, token string) error {
	unknown := refuse(Unauthorized, "the token is not one of the cluster %s", cluster)
	if !strings.HasPrefix(token, tokenPrefix) {
		return unknown
	}
	var expires int64
	err := s.pool.QueryRow(ctx, "SELECT expires FROM credentials WHERE cluster = $1 AND hash = $2", cluster, hashOf(token)).Scan(&expires)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return unknown
	case err != nil:
		return err
	case expires != 0 && expires <= s.clock.Now().Unix():
		return refuse(Unauthorized, "the token was replaced, and is good no more")
	}
	return nil
}
