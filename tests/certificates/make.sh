#!/bin/sh
# Makes the certificates of the tests anew, all valid for a hundred years but for the one that is meant to be expired.
# Needs only the openssl program (3.x). The keys are worth nothing: no one trusts this authority but the tests.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/openssl.cnf" <<END
[ca]
default_ca = tests
[tests]
dir = $work
database = $work/index
new_certs_dir = $work
serial = $work/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[localhost]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
[elsewhere]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:irc.elsewhere.example
END
touch "$work/index"
echo 1000 > "$work/serial"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$work/$1.key"; }

signed() { # NAME SUBJECT EXTENSIONS END HOW...
    name=$1 subject=$2 extensions=$3 end=$4
    shift 4
    key "$name"
    openssl req -config "$work/openssl.cnf" -new -key "$work/$name.key" -subj "/CN=$subject" -out "$work/$name.csr"
    # `ca` and not `x509`: it alone takes a start in the past in every version.
    openssl ca -config "$work/openssl.cnf" -batch -notext -extensions "$extensions" -startdate 20200101000000Z \
        -enddate "$end" -in "$work/$name.csr" -out "$work/$name.crt" "$@" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
}

forever=21200101000000Z

for name in authority stranger; do
    signed $name "neverquit tests: $name" authority $forever -selfsign -keyfile "$work/$name.key"
    cp "$work/$name.crt" $name.pem
done

by_authority="-cert authority.pem -keyfile $work/authority.key"
# shellcheck disable=SC2086  # several words are meant
{
    signed server localhost localhost $forever $by_authority
    signed expired localhost localhost 20200201000000Z $by_authority
    signed elsewhere irc.elsewhere.example elsewhere $forever $by_authority
    signed client client leaf $forever $by_authority
    signed selfsigned localhost localhost $forever -selfsign -keyfile "$work/selfsigned.key"
}
for name in server expired elsewhere client selfsigned; do
    cat "$work/$name.crt" "$work/$name.key" > $name.pem
done
