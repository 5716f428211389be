package curve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// secretSuffix stands behind the name of the file that has both keys, as CZMQ's tools
// have it.
const secretSuffix = "_secret"

// maxFile is the largest file that is read as a certificate.
const maxFile = 64 << 10

// ReadCertificate reads a certificate file, public or secret. A file with a secret
// key that others may read is refused, but on Windows, where modes don't say that.
// It fails with a [*CertificateError] where the file isn't a certificate.
func ReadCertificate(path string) (*Certificate, error) {
	f, err := os.Open(path) // #nosec G304 -- whoever calls it chose the file
	if err != nil {
		return nil, fmt.Errorf("curve: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("curve: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("curve: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("curve: %s has more than %d bytes, so it is no certificate", path, maxFile)
	}
	cert, err := ParseCertificate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if others := info.Mode().Perm() & 0o077; cert.HasSecret() && others != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("curve: %s has a secret key and others may read it (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return &cert, nil
}

// WriteFiles writes the public certificate to path, and the one with both keys to
// path and "_secret", readable for its owner alone. It overwrites nothing: where one
// of the files exists it fails, and writes neither.
func (c *Certificate) WriteFiles(path string) error {
	public, err := c.AppendPublic(nil)
	if err != nil {
		return err
	}
	secret, err := c.AppendSecret(nil)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("curve: %s exists, and is not overwritten", path)
	}
	if err := create(path+secretSuffix, secret, 0o600); err != nil {
		return err
	}
	if err := create(path, public, 0o644); err != nil {
		return errors.Join(err, os.Remove(path+secretSuffix))
	}
	return nil
}

// create writes a file that doesn't exist yet.
func create(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) // #nosec G304 -- whoever calls it chose the file
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("curve: %s exists, and is not overwritten", path)
	}
	if err != nil {
		return fmt.Errorf("curve: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("curve: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}
