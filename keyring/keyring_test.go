package keyring

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/curve"
)

const peerA = "[peer.web]\nkey = \"$A\"\n"

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	k := load(t, peerA+"[peer.kitchen]\nkeys = [\"$B\", \"$C\"]")
	require.Equal(t, "web", named(k, keyA))
	require.Equal(t, "kitchen", named(k, keyB))
	require.Equal(t, "kitchen", named(k, keyC), "both keys do")
	flipped, err := curve.ParseKey(keyA)
	require.NoError(t, err)
	flipped[0] ^= 1
	for _, unknown := range []curve.Key{{}, flipped} {
		name, ok := k.Authenticate(unknown)
		require.False(t, ok)
		require.Empty(t, name)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	k := load(t, `
[peer.web]
key = "$A"
roles = ["guest", "clerk"]
call = ["search.query", "shop.tea.*"]

[peer.kitchen]
key = "$B"
register = ["tea", "shop.tea"]

[peer.boss]
key = "$C"
call = ["*"]
register = ["*"]
see = true
operate = true

[role.guest]
call = ["tea.brew", "job"]

[role.clerk]
call = ["till.*"]
see = true

[role.unused]
call = ["unused.method"]
`)
	call := mesh.RightCall
	for _, c := range []struct {
		name    string
		right   mesh.Right
		service string
		method  string
		want    bool
	}{
		{"web", call, "search", "search.query", true},
		{"web", call, "search", "search.drop", false},
		{"web", call, "search", "", false},
		{"web", call, "search", "query", false},
		{"web", call, "search", "Search.query", false},
		{"web", call, "search", "search.query.query", false},
		{"web", call, "search.query", "", false}, // an entry with a dot is a method
		{"web", call, "search.query", "search.query.x", false},
		{"web", call, "tea", "tea.brew", true}, // by the role
		{"web", call, "tea", "tea.brew ", false},
		{"web", call, "tea", "search.query", false}, // a right of another service
		{"web", call, "tea", "job.x", false},
		{"web", call, "job", "", true},
		{"web", call, "job", "job.x", true},
		{"web", call, "job", "tea.pour", true}, // all of job is what job has
		{"web", call, "jobs", "", false},
		{"web", call, "shop.tea", "", true},
		{"web", call, "shop.tea", "shop.tea.brew", true},
		{"web", call, "shop", "shop.tea", false},
		{"web", call, "shop", "", false},
		{"web", call, "till", "", true},
		{"web", call, "", "", false},
		{"web", call, "", ".brew", false},
		{"web", call, "*", "", false},
		{"web", mesh.RightSee, "", "", true},
		{"web", mesh.RightOperate, "", "", false},
		{"web", mesh.RightRegister, "job", "", false}, // to call is not to offer
		{"kitchen", mesh.RightRegister, "tea", "", true},
		{"kitchen", mesh.RightRegister, "shop.tea", "", true},
		{"kitchen", mesh.RightRegister, "shop", "", false},
		{"kitchen", mesh.RightRegister, "*", "", false},
		{"kitchen", mesh.RightSee, "", "", false},
		{"kitchen", call, "tea", "tea.brew", false},
		{"boss", call, "anything", "", true},
		{"boss", mesh.RightRegister, "anything", "", true},
		{"boss", mesh.RightOperate, "", "", true},
		{"boss", 0, "", "", false},
		{"boss", mesh.RightOperate + 1, "", "", false},
		{"guest", call, "job", "", false}, // a role is nobody
		{"Web", call, "job", "", false},
		{"stranger", call, "job", "", false},
		{"", call, "job", "", false},
		{"", mesh.RightOperate, "", "", false},
	} {
		require.Equal(t, c.want, may(k, c.name, c.right, c.service, c.method), c)
	}
	for service, want := range map[string]bool{
		"search": true, "tea": true, "job": false, "till": false, "shop": false, "shop.tea": false, "unused": false, "": false,
	} {
		require.Equal(t, want, k.ByMethod([]byte(service)), service)
	}
	local := transport.Identity{Local: true}
	require.True(t, k.Allow(local, mesh.RightOperate, nil, nil))
	local.Name = "web"
	require.False(t, k.Allow(local, mesh.RightOperate, nil, nil), "whoever has a name has its rights")
	local.Name = "stranger"
	require.False(t, k.Allow(local, call, []byte("job"), nil))
}

// The rights to see and to operate are over all services, or over some.
func TestPartly(t *testing.T) {
	t.Parallel()
	k := load(t, `
[peer.web]
key = "$A"
roles = ["barista"]
see = ["till"]
operate = false

[peer.boss]
keys = ["$B"]
roles = ["all"]
see = false
operate = ["tea", "*"]

[peer.cron]
key = "$C"

[role.barista]
see = ["tea"]
operate = ["tea", "shop.tea"]

[role.all]
see = true
`)
	for _, c := range []struct {
		name    string
		right   mesh.Right
		service string
		want    bool
	}{
		{"web", mesh.RightSee, "tea", true}, // by the role
		{"web", mesh.RightSee, "till", true},
		{"web", mesh.RightSee, "shop.tea", false},
		{"web", mesh.RightSee, "", false},
		{"web", mesh.RightOperate, "tea", true}, // nothing takes a right away
		{"web", mesh.RightOperate, "shop.tea", true},
		{"web", mesh.RightOperate, "shop", false},
		{"web", mesh.RightOperate, "till", false},
		{"web", mesh.RightOperate, "", false},
		{"web", mesh.RightCall, "tea", false},
		{"boss", mesh.RightSee, "", true},
		{"boss", mesh.RightSee, "anything", true},
		{"boss", mesh.RightOperate, "", true},
		{"cron", mesh.RightOperate, "tea", false},
		{"stranger", mesh.RightOperate, "tea", false},
	} {
		require.Equal(t, c.want, may(k, c.name, c.right, c.service, ""), c)
	}
	for _, c := range []struct {
		name  string
		right mesh.Right
		want  bool
	}{
		{"web", mesh.RightSee, true}, {"web", mesh.RightOperate, true}, {"web", mesh.RightCall, false}, {"web", mesh.RightRegister, false},
		{"cron", mesh.RightSee, false}, {"cron", mesh.RightOperate, false}, {"stranger", mesh.RightSee, false}, {"", mesh.RightOperate, false},
	} {
		require.Equal(t, c.want, k.Partly(transport.Identity{Name: c.name}, c.right), c)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.toml")
	write(t, path, peerA+`call = ["tea.brew"]`)
	k, err := Load(path)
	require.NoError(t, err)

	write(t, path, "[peer.web]\nkeys = [\"$A\", \"$B\"]\ncall = [\"tea.brew\", \"till\"]")
	require.Empty(t, named(k, keyB), "not yet")
	require.NoError(t, k.Reload())
	require.Equal(t, []string{"web", "web"}, []string{named(k, keyA), named(k, keyB)}, "the new key before the old one goes")
	require.True(t, webMayCall(k, "till", ""))

	write(t, path, "[peer.web]\nkey = \"$B\"\ncall = [\"tea.pour\"]")
	require.NoError(t, k.Reload())
	require.Equal(t, []string{"", "web"}, []string{named(k, keyA), named(k, keyB)})
	require.False(t, webMayCall(k, "tea", "tea.brew"))
	require.True(t, webMayCall(k, "tea", "tea.pour"))

	for text, want := range map[string]string{
		"":                             ": no peers",
		"# " + peerA:                   `:2: "key" is neither [peer.NAME] nor [role.NAME]`,
		peerA + "call = [\"tea.brew\"": ":3: not TOML: expected a comma (',') or array terminator (']'), but got end of file",
		peerA + "call = [\"mmi.x\"]":   `:3: peer "web": "call" entry 1 "mmi.x" is the broker's own: see and operate are for that`,
	} {
		write(t, path, text)
		require.EqualError(t, k.Reload(), "keyring: "+path+want)
		require.Equal(t, "web", named(k, keyB), "what held goes on")
		require.True(t, webMayCall(k, "tea", "tea.pour"))
	}

	write(t, path, "[peer.boss]\nkey = \"$C\"")
	require.NoError(t, k.Reload())
	require.False(t, webMayCall(k, "tea", "tea.pour"), "who is gone from the file has no rights")
	require.Empty(t, named(k, keyB))

	require.NoError(t, os.Remove(path))
	require.EqualError(t, k.Reload(), "keyring: open "+path+": no such file or directory")
	require.ErrorIs(t, k.Reload(), os.ErrNotExist)
	require.Equal(t, "boss", named(k, keyC))
}

func TestLoadIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.toml")
	_, err := Load(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(filepath.Dir(path))
	require.EqualError(t, err, "keyring: "+filepath.Dir(path)+": not a regular file")

	text := withKeys(peerA)
	text += strings.Repeat("#", maxSize-len(text))
	write(t, path, text)
	_, err = Load(path)
	require.NoError(t, err)
	write(t, path, text+"#")
	_, err = Load(path)
	require.EqualError(t, err, "keyring: "+path+": larger than 1048576 bytes")
}

// While rules are replaced each answer is by the ones or by the others.
func TestReloadWhileInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.toml")
	texts := []string{peerA + "call = [\"tea.brew\"]\n", peerA + "call = [\"tea\"]\nsee = true\n"}
	write(t, path, texts[0])
	k, err := Load(path)
	require.NoError(t, err)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !webMayCall(k, "tea", "tea.brew") || webMayCall(k, "till", "till.open") || named(k, keyA) != "web" || named(k, keyB) != "" {
					t.Error("neither the old rules nor the new ones")
					return
				}
				k.ByMethod([]byte("tea"))
				may(k, "web", mesh.RightSee, "", "")
			}
		})
	}
	for i := range 100 {
		next := path + ".next"
		write(t, next, texts[i%2])
		require.NoError(t, os.Rename(next, path))
		require.NoError(t, k.Reload())
		require.Equal(t, i%2 == 1, may(k, "web", mesh.RightSee, "", ""), "the last one holds")
	}
	close(stop)
	readers.Wait()
}

func TestAllowDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	k := load(t, peerA+`call = ["tea.brew"]`)
	who := transport.Identity{Name: "web"}
	service, method := []byte("tea"), []byte("tea.brew")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !k.ByMethod(service) || !k.Allow(who, mesh.RightCall, service, method) {
			panic("not allowed")
		}
	}))
}

func BenchmarkAllow(b *testing.B) {
	k := load(b, peerA+`call = ["tea.brew", "till"]
register = ["tea"]`)
	who := transport.Identity{Name: "web", Addr: "tcp://192.0.2.1:5555"}
	for _, c := range []struct {
		name            string
		right           mesh.Right
		service, method string
	}{
		{"service", mesh.RightCall, "till", ""},
		{"method", mesh.RightCall, "tea", "tea.brew"},
		{"refused", mesh.RightCall, "tea", "tea.pour"},
		{"register", mesh.RightRegister, "tea", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			service, method := []byte(c.service), []byte(c.method)
			b.ReportAllocs()
			for b.Loop() {
				k.Allow(who, c.right, service, method)
			}
		})
	}
	b.Run("ByMethod", func(b *testing.B) {
		service := []byte("tea")
		b.ReportAllocs()
		for b.Loop() {
			k.ByMethod(service)
		}
	})
}
