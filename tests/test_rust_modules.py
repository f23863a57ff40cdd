"""The check for circles finds planted ones, and follows paths as the compiler does."""

from pathlib import Path

import pytest
import rust_modules


def crate(folder: Path, **files: str) -> Path:
    """Write a crate's sources. `a__b` is the file a/b.rs."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".rs")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_planted_circle_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = crate(
        tmp_path, lib="mod a;\nmod b;\n", a="use crate::b::Second;\npub struct First;\n", b="pub struct Second;\n"
    )
    assert rust_modules.main(src) == 0
    assert capsys.readouterr().out == ""
    crate(tmp_path, b="pub struct Second(crate::a::First);\n")
    assert rust_modules.imports(src) == {"lib": set(), "a": {"b"}, "b": {"a"}}
    assert rust_modules.main(src) == 1
    assert "circle: a, b\n  a uses b\n  b uses a\n" in capsys.readouterr().out


def test_a_circle_of_folders_without_one_of_files_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = crate(
        tmp_path,
        a__mod="mod low;\nmod high;\n",
        a__low="pub struct Low;\n",
        a__high="use crate::b::Middle;\n",
        b="use crate::a::low::Low;\npub struct Middle(Low);\n",
    )
    assert rust_modules.circles(rust_modules.imports(src)) == []
    assert rust_modules.main(src) == 1
    assert "circle: a, b" in capsys.readouterr().out


def test_reexports_are_followed_to_the_file_that_defines_the_item(tmp_path: Path) -> None:
    src = crate(
        tmp_path,
        lib="pub mod a;\nmod b;\n",
        a__mod="mod low;\nmod high;\npub use low::{Low, Lowest as Least};\npub use high::*;\n",
        a__low="pub struct Low;\npub struct Lowest;\n",
        a__high="use super::Low;\npub struct High(Low);\n",
        b="use crate::{a::{self, Least}, c};\nuse std::fmt::{self, Debug};\nfn f(_: a::High, _: crate::a::High) {}\n",
        c="",
    )
    graph = rust_modules.imports(src)
    assert graph["a/high"] == {"a/low"}
    assert graph["b"] == {"a/mod", "a/low", "a/high", "c"}
    assert rust_modules.circles(graph) == []


def test_paths_through_a_child_or_an_imported_module_are_followed(tmp_path: Path) -> None:
    src = crate(
        tmp_path,
        a__mod="mod low;\nfn f() { low::g(); b::deep::h(); }\nuse crate::b;\n",
        a__low="pub fn g() {}\n",
        b__mod="pub mod deep;\n",
        b__deep="pub fn h() { std::mem::take(); }\n",
    )
    assert rust_modules.imports(src)["a/mod"] == {"a/low", "b/mod", "b/deep"}


def test_comments_strings_and_tests_name_nothing_and_inline_modules_are_part_of_their_file(tmp_path: Path) -> None:
    src = crate(
        tmp_path,
        a="""
            //! [`crate::b`]
            /* crate::b */
            const TEXT: [&str; 2] = ["crate::b::B", r#"use crate::b; "quoted" "#];
            pub(in crate::b) struct A<'a>(&'a str);
            mod inside {
                use super::A;
                use super::super::c::C;
            }
            #[cfg(test)]
            #[allow(unused)]
            mod tests { use crate::b::B; fn f() { if true { } } }
        """,
        b="pub struct B;\n",
        c="pub struct C;\n",
    )
    assert rust_modules.imports(src) == {"a": {"c"}, "b": set(), "c": set()}


def test_paths_through_a_glob_are_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    src = crate(
        tmp_path,
        lib="mod a;\nmod b;\n",
        a="use crate::*;\nuse rayon::*;\nfn f(_: b::Second) { std::mem::take(); }\npub struct First;\n",
        b="pub struct Second(crate::a::First);\n",
    )
    assert rust_modules.imports(src)["a"] >= {"b"}
    assert rust_modules.main(src) == 1
    assert "circle: a, b" in capsys.readouterr().out
