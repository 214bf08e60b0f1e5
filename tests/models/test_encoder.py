import pickle

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.v2.functional import normalize

from bilayer_graph.errors import InputError
from bilayer_graph.models import image_encoder
from bilayer_graph.testing import assert_close

STAGES = {
    "resnet18": (["layer1", "layer2", "layer3", "layer4"], (64, 128, 256, 512)),
    "resnet50": (["layer1", "layer2", "layer3", "layer4"], (256, 512, 1024, 2048)),
    "mobilenet_v2": (
        ["features.3", "features.6", "features.13", "features.18"],
        (24, 32, 96, 1280),
    ),
    "mobilenet_v3_small": (
        ["features.1", "features.3", "features.8", "features.12"],
        (16, 24, 48, 576),
    ),
}
BACKBONES = pytest.mark.parametrize("backbone", STAGES)


def make_net(backbone):
    """A torchvision network whose batch norms have statistics of their own."""
    torch.manual_seed(1)
    net = torchvision.models.get_model(backbone, weights=None).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


@pytest.fixture
def weights(tmp_path):
    """Files of ResNet-18."""
    net = make_net("resnet18")
    torch.save(net.state_dict(), tmp_path / "net.pth")
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("fc.")}
    save_file(state, tmp_path / "net.safetensors")
    return tmp_path


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def download(*args, **kwargs):
        raise AssertionError("tried to download")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)


@BACKBONES
def test_stages_are_those_of_torchvision(backbone, tmp_path, device):
    names, channels = STAGES[backbone]
    net = make_net(backbone)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    encoder = image_encoder(backbone, tmp_path / "net.pth").eval().to(device)
    assert encoder.channels == channels
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = create_feature_extractor(net, names)(
            normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )
        maps, pooled = encoder(image.to(device))
    for i, (name, x) in enumerate(zip(names, maps, strict=True)):
        assert x.shape == (2, channels[i], 64 // 4 // 2**i, 96 // 4 // 2**i)
        # A hundred layers deep, and on a GPU in TensorFloat-32.
        assert_close(x, expected[name], torch.float16)
    assert_close(pooled, maps[-1].mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
def test_local_weights(weights, name, kind):
    encoder = image_encoder("resnet18", kind(weights / name))
    net = make_net("resnet18")
    assert torch.equal(encoder.stages[0][0].weight, net.conv1.weight)
    assert torch.equal(encoder.stages[3][1].bn2.running_var, net.layer4[1].bn2.running_var)


def test_named_weights_come_from_torchvision(monkeypatch):
    net = make_net("resnet18")
    urls = []

    def download(url, **kwargs):
        urls.append(url)
        return net.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    encoder = image_encoder("resnet18", "IMAGENET1K_V1")
    assert urls == [torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url]
    assert torch.equal(encoder.stages[0][0].weight, net.conv1.weight)


def test_only_learned_tensors_are_in_the_state_dict():
    keys = set(image_encoder("resnet18").state_dict())
    assert all(key.startswith("stages.") for key in keys)


def test_convolutions_are_channels_last():
    weight = image_encoder("resnet18").stages[0][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_no_such_backbone():
    with pytest.raises(InputError, match=r"^backbone=vgg: no such backbone.*'resnet50'"):
        image_encoder("vgg")


def test_no_such_named_weights():
    message = r"^weights=IMAGENET1K_V9: resnet18 has no such weights.*'IMAGENET1K_V1'"
    with pytest.raises(InputError, match=message):
        image_encoder("resnet18", "IMAGENET1K_V9")


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_no_such_file(tmp_path, name):
    with pytest.raises(InputError, match=rf"^weights=.*{name}: cannot be read.*Give the state"):
        image_encoder("resnet18", tmp_path / name)


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_truncated_file(weights, name):
    content = (weights / name).read_bytes()
    (weights / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"^weights=.*cannot be read.*Give the state dict"):
        image_encoder("resnet18", weights / name)


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net.txt"])
def test_file_of_another_type(tmp_path, name):
    (tmp_path / name).write_text("not weights")
    with pytest.raises(InputError, match=r"^weights=.*cannot be read.*Give the state dict") as info:
        image_encoder("resnet18", tmp_path / name)
    assert "weights_only" not in str(info.value)


def test_weights_of_another_network(weights):
    with pytest.raises(InputError, match=r"^weights=.*net.pth: .*torchvision's mobilenet_v2"):
        image_encoder("mobilenet_v2", weights / "net.pth")


def test_weights_with_a_tensor_missing(weights):
    state = make_net("resnet18").state_dict()
    del state["layer1.0.conv1.weight"]
    torch.save(state, weights / "less.pth")
    with pytest.raises(InputError, match=r"^weights=.*lacks \['layer1.0.conv1.weight'\]"):
        image_encoder("resnet18", weights / "less.pth")


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def test_pickles_are_not_run(tmp_path):
    (tmp_path / "harm.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(InputError, match=r"^weights=.*cannot be read"):
        image_encoder("resnet18", tmp_path / "harm.pth")
