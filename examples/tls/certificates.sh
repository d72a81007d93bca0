#!/bin/sh
# A certificate authority of one's own, with nothing but openssl. DIR holds all of it:
#
#   certificates.sh DIR ca                    a new CA; where there was one before, both are trusted from then on
#   certificates.sh DIR member NAME HOST...   NAME.crt and NAME.key of a member that is reached at these hosts
#   certificates.sh DIR client NAME           NAME.crt and NAME.key of a client; NAME is its common name
#   certificates.sh DIR revoke NAME           NAME.crt is good no more, which crl.pem says
#   certificates.sh DIR only-newest-ca        the CAs of before are trusted no more
#
# ca.crt is whom to trust: every CA that counts, the newest first. signer.crt and signer.key are the one that signs; keep
# that key off the machines of members. Every file is put in its place whole, by a rename: whoever reads it meanwhile
# sees the old one or the new one. DAYS (365) is how long a member's or a client's certificate is good.
set -eu

[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
dir=$1 what=$2
shift 2
umask 077
mkdir -p "$dir/issued"
cd "$dir"
[ -e index.txt ] || : >index.txt
# What openssl.cnf names has to be there, also where nobody's hosts are written.
export DAYS="${DAYS:-365}" HOSTS=DNS:localhost

# What openssl reads in place of the system's configuration. It names no subject: -subj does.
cat >openssl.cnf <<'CONFIG'
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = issued
certificate = signer.crt
private_key = signer.key
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = $ENV::DAYS
default_crl_days = 30
policy = policy
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[member]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
authorityKeyIdentifier = keyid
subjectAltName = $ENV::HOSTS
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
CONFIG

# openssl says much that is no error; it is shown where there is one.
quietly() { "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }; }
new_key() { quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# issue NAME SECTION: a pair with a new key. The members that read it may find the new half beside the old one for a
# moment; netcd then looks again.
issue() {
  new_key "$1.key.new"
  quietly openssl req -new -config openssl.cnf -key "$1.key.new" -subj "/CN=$1" -out "$1.csr"
  quietly openssl ca -batch -notext -config openssl.cnf -extensions "$2" -in "$1.csr" -out "$1.crt.new"
  rm "$1.csr"
  mv "$1.key.new" "$1.key"
  mv "$1.crt.new" "$1.crt"
}

write_crl() {
  quietly openssl ca -gencrl -config openssl.cnf -out crl.pem.new
  mv crl.pem.new crl.pem
}

case $what in
  ca)
    new_key signer.key.new
    quietly openssl req -x509 -new -config openssl.cnf -extensions authority -key signer.key.new -days 3650 \
      -subj "/CN=CA of $(date -u +%Y-%m-%dT%H:%M:%SZ)" -out signer.crt.new
    mv signer.key.new signer.key
    mv signer.crt.new signer.crt
    [ -e ca.crt ] || : >ca.crt
    cat signer.crt ca.crt >ca.crt.new
    mv ca.crt.new ca.crt
    write_crl
    ;;
  member)
    name=$1
    shift
    HOSTS=
    for host in "$@"; do
      case $host in
        *:*) kind=IP ;;
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
      esac
      HOSTS="$HOSTS${HOSTS:+,}$kind:$host"
    done
    issue "$name" member
    ;;
  client) issue "$1" client ;;
  revoke)
    quietly openssl ca -batch -config openssl.cnf -revoke "$1.crt"
    write_crl
    ;;
  only-newest-ca)
    cp signer.crt ca.crt.new
    mv ca.crt.new ca.crt
    ;;
  *)
    echo "certificates.sh: no command $what" >&2
    exit 2
    ;;
esac
