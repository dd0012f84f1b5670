import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import org.apache.lucene.document.BinaryDocValuesField;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.document.IntPoint;
import org.apache.lucene.document.LongPoint;
import org.apache.lucene.document.NumericDocValuesField;
import org.apache.lucene.document.SortedDocValuesField;
import org.apache.lucene.document.SortedNumericDocValuesField;
import org.apache.lucene.document.SortedSetDocValuesField;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.StringField;
import org.apache.lucene.document.TextField;
import org.apache.lucene.index.IndexOptions;
import org.apache.lucene.index.IndexableField;
import org.apache.lucene.index.Term;
import org.apache.lucene.util.BytesRef;

/** Documents in the form that Elasticsearch and OpenSearch give them, from a seeded generator. */
final class Documents {
    static final String SOFT_DELETES = "__soft_deletes";
    private static final String[] WORDS = ("alder birch cedar dogwood elm fir ginkgo hazel ironwood juniper kapok "
            + "larch maple nutmeg oak pine quince rowan spruce teak").split(" ");
    private static final Pattern BASE64 = Pattern.compile("[A-Za-z0-9_-]+");
    private static final FieldType ID_TYPE = new FieldType();
    private static final FieldType ROUTING_TYPE = new FieldType();
    private static final FieldType VECTOR_TYPE = new FieldType(TextField.TYPE_NOT_STORED);

    static {
        for (FieldType type : new FieldType[] {ID_TYPE, ROUTING_TYPE}) {
            type.setTokenized(false);
            type.setOmitNorms(true);
            type.setStored(true);
            type.setIndexOptions(IndexOptions.DOCS);
            type.freeze();
        }
        VECTOR_TYPE.setStoreTermVectors(true);
        VECTOR_TYPE.setStoreTermVectorOffsets(true);
        VECTOR_TYPE.setStoreTermVectorPositions(true);
        VECTOR_TYPE.freeze();
    }

    final Random random;
    private long sequence;

    Documents(long seed) { random = new Random(seed); }

    // Ids: numbers, base64 without padding, other text; the three forms that engines pack differently.

    static String id(int number) {
        switch (number % 5) {
            case 0: return Integer.toString(number);
            case 1: return "doc-" + number;
            case 2: {
                byte[] bytes = new byte[15];
                new Random(number).nextBytes(bytes);
                if (number % 3 == 0) bytes[0] = (byte) (0xFB + number % 5);
                return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
            }
            case 3: return "id \u00e9\u6f22 " + number;
            default: return "0" + number + "00";
        }
    }

    static BytesRef encode(String id) {
        byte[] text = id.getBytes(StandardCharsets.UTF_8);
        if (!id.isEmpty() && id.chars().allMatch(c -> c >= '0' && c <= '9')) {
            byte[] packed = new byte[1 + (id.length() + 1) / 2];
            packed[0] = (byte) 0xFE;
            for (int at = 0; at < id.length(); at += 2) {
                int low = at + 1 < id.length() ? id.charAt(at + 1) - '0' : 15;
                packed[1 + at / 2] = (byte) (id.charAt(at) - '0' << 4 | low);
            }
            return new BytesRef(packed);
        }
        if (BASE64.matcher(id).matches() && id.length() % 4 != 1) {
            byte[] raw = Base64.getUrlDecoder().decode(id);
            if (Base64.getUrlEncoder().withoutPadding().encodeToString(raw).equals(id)) {
                return (raw[0] & 0xFF) >= 0xFD ? prefixed(0xFD, raw) : new BytesRef(raw);
            }
        }
        return prefixed(0xFF, text);
    }

    static byte[] decode(BytesRef packed) {
        int first = packed.bytes[packed.offset] & 0xFF;
        if (first == 0xFE) {
            StringBuilder digits = new StringBuilder();
            for (int at = 1; at < packed.length; at++) {
                int pair = packed.bytes[packed.offset + at] & 0xFF;
                digits.append((char) ('0' + (pair >> 4)));
                if ((pair & 15) != 15) digits.append((char) ('0' + (pair & 15)));
            }
            return digits.toString().getBytes(StandardCharsets.UTF_8);
        }
        int skipped = first >= 0xFD ? 1 : 0;
        byte[] rest = new byte[packed.length - skipped];
        System.arraycopy(packed.bytes, packed.offset + skipped, rest, 0, rest.length);
        return first == 0xFF ? rest : Base64.getUrlEncoder().withoutPadding().encode(rest);
    }

    private static BytesRef prefixed(int prefix, byte[] rest) {
        byte[] bytes = new byte[rest.length + 1];
        bytes[0] = (byte) prefix;
        System.arraycopy(rest, 0, bytes, 1, rest.length);
        return new BytesRef(bytes);
    }

    static Term term(int number) { return new Term("_id", encode(id(number))); }

    static Field softDelete() { return new NumericDocValuesField(SOFT_DELETES, 1); }

    // Sources.

    byte[] source(int size) {
        StringBuilder text = new StringBuilder("{\"text\":\"");
        while (text.length() < size) text.append(WORDS[random.nextInt(WORDS.length)]).append(' ');
        return text.append("\"}").toString().getBytes(StandardCharsets.UTF_8);
    }

    byte[] noise(int size) {
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        return bytes;
    }

    /** Stored field values of every type, chosen so that each form of their encodings occurs. */
    private void addStoredValues(Document document, String prefix) {
        int[] ints = {0, 1, -1, 63, -64, 64, 300, 1 << 20, Integer.MAX_VALUE, Integer.MIN_VALUE};
        long[] longs = {0, -1, 15, 16, 1000, 7200000L, 86400000L * 19000, 1700000000000L, 1700000000123L, -86400000L,
            Long.MAX_VALUE, Long.MIN_VALUE, 1L << 40};
        double[] reals = {0, -0.0, -1, 1, 124, 125, 126, 0.5, 0.1, -2.75, 1e300, -1e300, Double.NaN,
            Double.NEGATIVE_INFINITY, 3.4e38, Double.MIN_VALUE, 1234567};
        int count = 1 + random.nextInt(6);
        for (int index = 0; index < count; index++) {
            String name = prefix + random.nextInt(90);
            switch (random.nextInt(6)) {
                case 0: document.add(new StoredField(name + "i", ints[random.nextInt(ints.length)])); break;
                case 1: document.add(new StoredField(name + "l", longs[random.nextInt(longs.length)])); break;
                case 2: document.add(new StoredField(name + "f", (float) reals[random.nextInt(reals.length)])); break;
                case 3: document.add(new StoredField(name + "d", reals[random.nextInt(reals.length)])); break;
                case 4: document.add(new StoredField(name + "s", "v\u00e4lue " + random.nextInt(1000))); break;
                default: document.add(new StoredField(name + "b", new BytesRef(noise(random.nextInt(200)))));
            }
        }
    }

    /** Doc values, points, vectors and text: what lies before and behind the soft deletes in the metadata. */
    private void addColumns(Document document, int number) throws Exception {
        long value = random.nextInt(5) == 0 ? random.nextLong() : number;
        document.add(new NumericDocValuesField("a_dense", value));
        document.add(new NumericDocValuesField("a_table", new long[] {3, 1 << 30, 77, 1L << 50}[number % 4]));
        document.add(new NumericDocValuesField("a_constant", 42));
        document.add(new NumericDocValuesField("a_counter", 0));
        if (number % 3 == 0) document.add(new NumericDocValuesField("a_sparse", number * 1000L));
        document.add(new BinaryDocValuesField("b_fixed", new BytesRef(String.format("%08d", number))));
        if (number % 2 == 0) document.add(new BinaryDocValuesField("b_variable", new BytesRef(noise(number % 29))));
        document.add(new SortedDocValuesField("c_sorted", new BytesRef(WORDS[number % WORDS.length])));
        if (number % 4 == 0) document.add(new SortedDocValuesField("c_sparse", new BytesRef("key" + number)));
        for (int index = 0; index <= number % 3; index++) {
            String word = WORDS[(number + index * 7) % WORDS.length];
            document.add(new SortedSetDocValuesField("d_set", new BytesRef(word)));
            document.add(new SortedNumericDocValuesField("e_numbers", number * 31L + index));
        }
        document.add(new SortedSetDocValuesField("d_single", new BytesRef("one" + number % 50)));
        document.add(new SortedNumericDocValuesField("e_single", number));
        document.add(new IntPoint("f_point", number));
        document.add(new LongPoint("f_point2", number, -number));
        addAll(document, EngineAPI.shape("f_shape", noise(28)));
        addAll(document, EngineAPI.vector("g_floats", new float[] {number, 1, random.nextFloat(), 2}));
        addAll(document, EngineAPI.vector("g_bytes", noise(8)));
        for (String type : new String[] {"NumericDocValuesField", "SortedNumericDocValuesField"}) {
            addAll(document, EngineAPI.skipping(type, "h_" + type, (long) number));
        }
        for (String type : new String[] {"SortedDocValuesField", "SortedSetDocValuesField"}) {
            addAll(document, EngineAPI.skipping(type, "h_" + type, new BytesRef("s" + number % 9)));
        }
        document.add(new Field("i_text", WORDS[number % 7] + " " + WORDS[number % 11], VECTOR_TYPE));
    }

    private static void addAll(Document document, IndexableField field) {
        if (field != null) document.add(field);
    }

    /** A root. Every few of them lack the source, keep it for recovery only, or have an empty one. */
    Document root(int number, byte[] source) throws Exception {
        Document document = new Document();
        if (number % 4 == 1) addStoredValues(document, "before");
        if (number % 11 == 5) document.add(new StoredField("_source", new BytesRef(source)));
        document.add(new Field("_id", encode(id(number)), ID_TYPE));
        if (number % 6 == 2) document.add(new Field("_routing", "shard \u00fc" + number % 9, ROUTING_TYPE));
        if (number % 11 == 7) {
            document.add(new StoredField("_recovery_source", new BytesRef(source)));
            document.add(new NumericDocValuesField("_recovery_source", 1));
        } else if (number % 11 == 9) {
            document.add(new StoredField("_source", new BytesRef(BytesRef.EMPTY_BYTES)));
        } else if (number % 11 != 5) {
            document.add(new StoredField("_source", new BytesRef(source)));
        }
        addColumns(document, number);
        addSequence(document);
        if (number % 3 == 1) addStoredValues(document, "behind");
        return document;
    }

    Document root(int number) throws Exception {
        int kind = random.nextInt(20);
        return root(number, source(kind == 0 ? 9000 : kind < 4 ? 1500 : 20 + random.nextInt(200)));
    }

    /** A root with little but its id and source. */
    Document tiny(int number, String group, byte[] source) {
        Document document = new Document();
        document.add(new Field("_id", encode(id(number)), ID_TYPE));
        document.add(new StoredField("_source", new BytesRef(source)));
        document.add(new StringField("group", group, Field.Store.NO));
        document.add(new NumericDocValuesField("a_dense", number));
        document.add(new SortedDocValuesField("c_sorted", new BytesRef(group)));
        return document;
    }

    /** Children without a stored id before their root. */
    List<Document> block(int number) throws Exception {
        List<Document> block = new ArrayList<>();
        for (int index = 0; index <= number % 4; index++) {
            Document child = new Document();
            child.add(new Field("_id", encode(id(number)), childType()));
            child.add(new StringField("_nested_path", "items", Field.Store.NO));
            if (index % 2 == 1) addStoredValues(child, "behind");
            block.add(child);
        }
        block.add(root(number));
        return block;
    }

    private static FieldType childType() {
        FieldType type = new FieldType(ID_TYPE);
        type.setStored(false);
        type.freeze();
        return type;
    }

    /** What an engine writes for a deletion: softly deleted from the start. */
    Document tombstone(int number) {
        Document document = new Document();
        document.add(new Field("_id", encode(id(number)), ID_TYPE));
        document.add(softDelete());
        document.add(new NumericDocValuesField("_tombstone", 1));
        addSequence(document);
        return document;
    }

    private void addSequence(Document document) {
        document.add(new LongPoint("_seq_no", sequence));
        document.add(new NumericDocValuesField("_seq_no", sequence));
        document.add(new NumericDocValuesField("_primary_term", 1));
        sequence++;
    }
}
