import pytest

from bilayer_graph.errors import InputError
from bilayer_graph.pictures import list_images


def test_list_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.webp", ".hidden.png", "notes.txt", "b.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.webp"]


def test_list_images_of_nothing(tmp_path):
    for folder, problem in ((tmp_path, "no picture"), (tmp_path / "no", "no such folder")):
        with pytest.raises(InputError, match=problem) as error:
            list_images(folder)
        assert str(folder) in str(error.value)


def test_folders_within_are_named(tmp_path):
    for name in ("b/b.jpg", "a/a.png", ".thumbnails/c.jpg", "texts/d.txt", "a/deep/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="those within it are not searched"):
        list_images(tmp_path)
    (tmp_path / "f.jpg").touch()
    with pytest.warns(UserWarning, match=r"folders within it are not searched: a, b$"):
        assert [path.name for path in list_images(tmp_path)] == ["f.jpg"]
