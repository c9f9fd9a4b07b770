package vfs

import "golang.org/x/sys/unix"

// shared says that a directory is on a file system that other hosts, or a program
// behind FUSE, may change: inotify tells only of what this one does to it.
func shared(dir string) bool {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return true
	}
	switch uint32(fs.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC,
		unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC, gfs2, lustre:
		return true
	}
	return false
}

// What these write into their superblocks.
const (
	gfs2   = 0x01161970
	lustre = 0x0bd00bd0
)
