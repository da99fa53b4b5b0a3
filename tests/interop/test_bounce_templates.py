"""postconf -b and -t on template files with errors, beside Postfix's: the same warnings, the same exit status."""

from pathlib import Path

import pytest

from tests.system.machine import run

POSTCONF = Path("/usr/sbin/postconf")
HEADER = "Charset: us-ascii\nFrom: a\nSubject: s\n"

FILES = {
    "no template": "nonsense line\n",
    "value": "failure_template = EOF\nfoo\n",
    "one line": "failure_template = text\n",
    "no end": f"failure_template = <<EOF\n{HEADER}\nplugh\n",
    "no marker": f"failure_template = <<\n{HEADER}\nplugh\n",
    "no name": "= x\n",
    "unknown": f"foo_template = <<EOF\n{HEADER}\nplugh\nEOF\n",
    "label": "failure_template = <<EOF\nFoo: bar\n\nplugh\nEOF\n",
    "no label": "failure_template = <<EOF\nFoo bar\n\nplugh\nEOF\n",
    "empty": "failure_template = <<EOF\nEOF\n",
    "no text": f"failure_template = <<EOF\n{HEADER}\n\nEOF\n",
    "undefined": f"failure_template = <<EOF\n{HEADER}\nplugh $foo here\nEOF\n",
    "syntax": f"failure_template = <<EOF\n{HEADER}\nplugh ${{foo here\nEOF\n",
    "suffix": f"failure_template = <<EOF\n{HEADER}\nplugh $delay_warning_time_foo here\nEOF\n",
    "twice": f"failure_template = <<EOF\n{HEADER}\none\nEOF\nfailure_template = <<EOF\n{HEADER}\ntwo\nEOF\n",
    "eight bit": f"failure_template = <<EOF\n{HEADER}\npl\xf6gh\nEOF\n",
    "eight bit from": "failure_template = <<EOF\nFrom: \xf6\n\nplugh\nEOF\n",
    "empty value": "failure_template = <<EOF\nCharset:\n\nplugh\nEOF\n",
    "inapplicable": f"success_template = <<EOF\n{HEADER}Postmaster-Subject: p\n\nplugh\nEOF\n",
    "indented": f"  failure_template = <<EOF x\n{HEADER}\nplugh\nEOF x\n",
    "several": f"failure_template = <<EOF\nFoo: x\n\nbad\nEOF\n#\ndelay_template = <<E\n{HEADER}\nok\nE\nfoo=<<X\nX\n",
}


@pytest.mark.skipif(not POSTCONF.exists(), reason="needs postfix (Debian: apt-get install postfix)")
@pytest.mark.parametrize("option", ["-b", "-t"])
@pytest.mark.parametrize("name", FILES)
def test_errors_in_a_template_file_are_told_as_postfix_tells_them(tmp_path: Path, name: str, option: str) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = h.test\n")
    (tmp_path / "master.cf").touch()
    file = tmp_path / "bounce.cf"
    file.write_bytes(FILES[name].encode("latin-1"))
    theirs, ours = (run([word, "-c", str(tmp_path), option, str(file)]) for word in (str(POSTCONF), "postconf"))
    assert (ours.status, ours.err) == (theirs.status, theirs.err)
    assert ("plugh" in ours.out) == ("plugh" in theirs.out)
