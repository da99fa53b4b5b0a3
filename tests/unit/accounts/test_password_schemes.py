"""Each scheme against a hash that doveadm pw made of the word secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.scheme import make_hash, secret_of, verify

HASHES = [
    "{PLAIN}secret",
    "{cleartext}secret",
    "{PLAIN.B64}c2VjcmV0",
    "{PLAIN.b64}c2VjcmV0",
    "$6$LamiIxkkcrheNs4B$4wt/os7kLE3KMuod0rTZfYsaYWgbgMC5EII2mLRp0tZx5NWgZX00pp2afxHXHBWV0sQBtlOsGA11odD9/hscr1",
    "{SHA512-CRYPT}$6$LamiIxkkcrheNs4B$"
    "4wt/os7kLE3KMuod0rTZfYsaYWgbgMC5EII2mLRp0tZx5NWgZX00pp2afxHXHBWV0sQBtlOsGA11odD9/hscr1",
    "{MD5-CRYPT}$1$WEH3.u6m$FhF9IaMerma8V2TXXlLvH/",
    "{BLF-CRYPT}$2y$05$WGPJqgwj8T5XhsX7hiW0NeMYKOHYCLqTo6hGF1HO/iGT1E9YaqNS.",
    "{CRYPT}$2y$05$WGPJqgwj8T5XhsX7hiW0NeMYKOHYCLqTo6hGF1HO/iGT1E9YaqNS.",
    "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$Shl5U9kJdMxLuAVhkXLycw$xZCgXoFZ3J70H/N5orLYwKSNVyfBTXPV3P08xsXhh4g",
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$ZYFlRSRtSkrhyyv+EczsBA$qRPREUDP8HXvasdcKpobwOoCe9JGiSdld7aCmKMh/sM",
    "{SSHA}OTX3koChm7CuFR7DntV5YDvLspvt6nIL",
    "{SSHA256}rknKnD704N4YELKCyKdAHo+TWaf/axugzrfCOnLboX2K0tB2",
    "{SSHA256.HEX}55f2b59b69d5398448eadaf0f80c5b2e308cedddfb4a93e1c72bae08e3fe2cb522ebef8c",
    "{SSHA512}opf3enIOBkgHzRuu1rujji7nHOMscMlERS5uXnwmXaY3XB02jLmvwIKpTSHTrZ1xkPjh0IHPJsT0/HhFd0ZGywcJMy4=",
    "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
    "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "{SHA512.B64}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
    "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69",
    "{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    "{SMD5}8uM4kdxTRKJUSsZvZ7oaD151MZU=",
    "{PBKDF2}$1$qgS.VjgyvYnSMKaH$5000$ffd641aff4d0da908d259f294aade58d9d14bd33",
    "{SCRAM-SHA-256}4096,lqCCauB+8WRSUft7SAKIRw==,H7Z4+rr43+iMh5YiD0xysEAWkun7HEmQp87+7IN04CI=,"
    "HWCWO7ANY/fXty5niZKDogJh9YV0nlX2RVPTIMbkQ6c=",
    "{SCRAM-SHA-1}4096,N1qzRWTvbqHfaaPU2dJq5A==,Q1QtBfhkdGXkwq6jRDinXwPQX6c=,6HJLy+JUqBappWTR6OBQqSMvbBM=",
]


@pytest.mark.parametrize("stored", HASHES)
def test_the_password_fits_and_no_other(stored: str) -> None:
    assert verify("secret", stored)
    assert not verify("secreT", stored)
    assert not verify("", stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "*",
        "x",
        "secret",
        "{PLAIN}",
        "{NONSENSE}secret",
        "{SSHA}!",
        "{SCRAM-SHA-256}0,a,b,c",
        "{SCRAM-SHA-256}999999999999,YQ==,YQ==,YQ==",
        "{PBKDF2}$1$x$99999999999$00",
        "{ARGON2ID}$argon2id$nonsense",
        "{BLF-CRYPT}$2y$05$short",
        "{SHA512-CRYPT}$1$WEH3.u6m$FhF9IaMerma8V2TXXlLvH/",
        "{PLAIN.ROT13}frperg",
    ],
)
def test_what_cannot_be_read_fits_nothing(stored: str) -> None:
    assert not verify("secret", stored)


def test_only_plain_gives_the_secret() -> None:
    assert secret_of("{PLAIN}secret") == "secret"
    assert secret_of("{PLAIN.B64}c2VjcmV0") == "secret"
    assert secret_of("{SSHA}OTX3koChm7CuFR7DntV5YDvLspvt6nIL") is None
    assert secret_of("secret") is None


def test_a_new_hash_is_argon2id_and_fits() -> None:
    stored = make_hash("grüße")
    assert stored.startswith("{ARGON2ID}$argon2id$")
    assert verify("grüße", stored)


@given(st.text(max_size=60), st.sampled_from(["", "{SHA}", "{SSHA}", "{SCRAM-SHA-1}", "{PBKDF2}", "{SMD5.HEX}"]))
def test_any_stored_text_gives_an_answer(text: str, scheme: str) -> None:
    verify("secret", scheme + text)
